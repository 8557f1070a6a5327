// What the CPU kernels share: vectors of lanes, rows of edges grouped by node, and hints for fresh memory.
//
// Lanes run over channels. Vectors are 64 bytes long; a compiler for narrower machines splits them.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <type_traits>
#include <vector>

#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace intertwine {

using std::int64_t;

template <typename T>
struct Lanes;
template <>
struct Lanes<float> {
  typedef float vec __attribute__((vector_size(64)));
};
template <>
struct Lanes<double> {
  typedef double vec __attribute__((vector_size(64)));
};
template <typename T>
using vec = typename Lanes<T>::vec;
template <typename T>
constexpr int width = 64 / sizeof(T);

template <typename T>
inline vec<T> zeros() {
  vec<T> value = {};
  return value;
}

// FULL says that all lanes are there; otherwise only the first `count` are read or written.
template <bool FULL, typename T>
inline vec<T> load(const T* from, int count) {
  vec<T> value = {};
  if constexpr (FULL)
    std::memcpy(&value, from, sizeof(value));
  else
    for (int lane = 0; lane < count; ++lane) value[lane] = from[lane];
  return value;
}

template <bool FULL, typename T>
inline void store(T* to, vec<T> value, int count) {
  if constexpr (FULL)
    std::memcpy(to, &value, sizeof(value));
  else
    for (int lane = 0; lane < count; ++lane) to[lane] = value[lane];
}

// Writes past the caches: worth it for what is not read again soon. Needs an aligned address.
template <typename T>
inline void stream(T* to, vec<T> value) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    _mm512_stream_ps(reinterpret_cast<float*>(to), reinterpret_cast<__m512>(value));
  else
    _mm512_stream_pd(reinterpret_cast<double*>(to), reinterpret_cast<__m512d>(value));
#else
  std::memcpy(to, &value, sizeof(value));
#endif
}

// What has been streamed is seen by other threads from here on.
inline void end_streams() {
#if defined(__AVX512F__)
  _mm_sfence();
#endif
}

// Threads that are worth waking for so many numbers: a small problem is over before the others are there.
inline int useful(int threads, int64_t numbers) {
  return int(std::min<int64_t>(threads, 1 + numbers / 8192));
}

// Asks for a row that is read soon.
template <typename T>
inline void ask(const T* row, int64_t count) {
  for (int64_t n = 0; n < count; n += width<T>) __builtin_prefetch(row + n, 0, 2);
}

template <typename T>
inline bool aligned(const T* address) {
  return (reinterpret_cast<std::uintptr_t>(address) & 63) == 0;
}

template <typename T>
inline T sum(vec<T> value) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return _mm512_reduce_add_ps(reinterpret_cast<__m512>(value));
  else
    return _mm512_reduce_add_pd(reinterpret_cast<__m512d>(value));
#else
  for (int half = width<T> / 2; half > 0; half /= 2)
    for (int lane = 0; lane < half; ++lane) value[lane] += value[lane + half];
  return value[0];
#endif
}

// Room for numbers in memory that begins with a whole vector: loads that cross cache lines cost twice.
template <typename T>
using LaneVectors = std::vector<vec<T>>;
template <typename T>
constexpr int64_t whole_vectors(int64_t count) {
  return (count + width<T> - 1) / width<T>;
}
template <typename T>
inline T* numbers(vec<T>* vectors) {
  return reinterpret_cast<T*>(vectors);
}

// Edges grouped by a node index, each group in the original order: `order[begin[n]] ... order[begin[n + 1] - 1]`.
// Without an index every row is a group of its own.
struct Groups {
  int64_t count;
  const int64_t* index;
  std::vector<int64_t> begin, order;

  Groups(const int64_t* index, int64_t edges, int64_t nodes) : count(index ? nodes : edges), index(index) {
    if (!index) return;
    begin.assign(nodes + 1, 0);
    order.resize(edges);
    for (int64_t e = 0; e < edges; ++e) ++begin[index[e] + 1];
    for (int64_t n = 0; n < nodes; ++n) begin[n + 1] += begin[n];
    std::vector<int64_t> next(begin.begin(), begin.end() - 1);
    for (int64_t e = 0; e < edges; ++e) order[next[index[e]]++] = e;
  }
  int64_t first(int64_t group) const { return index ? begin[group] : group; }
  int64_t last(int64_t group) const { return index ? begin[group + 1] : group + 1; }
  int64_t edge(int64_t place) const { return index ? order[place] : place; }
};

// Whether all indices are places of `count` rows: kernels follow them without looking.
inline bool inside(const int64_t* index, int64_t length, int64_t count) {
  if (!index) return true;
  bool good = true;
  for (int64_t n = 0; n < length; ++n) good &= index[n] >= 0 && index[n] < count;
  return good;
}

// Large outputs are written once into fresh memory: pages of 2 MiB cost a fraction of the faults of 4 KiB.
inline void expect_writes(void* memory, std::size_t bytes) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::size_t page = std::size_t(1) << 21;
  if (bytes < 2 * page) return;
  std::uintptr_t first = (reinterpret_cast<std::uintptr_t>(memory) + page - 1) & ~(page - 1);
  std::uintptr_t last = (reinterpret_cast<std::uintptr_t>(memory) + bytes) & ~(page - 1);
  if (last > first) madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#else
  (void)memory, (void)bytes;
#endif
}

}  // namespace intertwine
