// Between the two layouts of a block of features: multiplicity slow (u i) and channel fast (i u).
//
// Sixteen channels of an odd number of components are that many vectors in both layouts; each vector of one is put
// together from the vectors of the other by shuffles with constant masks.

#pragma once

#include <array>

#include "common.hpp"

namespace intertwine {

template <typename T>
struct Masks;
template <>
struct Masks<float> {
  typedef std::int32_t mask __attribute__((vector_size(64)));
};
template <>
struct Masks<double> {
  typedef std::int64_t mask __attribute__((vector_size(64)));
};
template <typename T>
using mask = typename Masks<T>::mask;

// Lane n of the result is lane mask[n] of a, or mask[n] - width of b.
template <typename T>
inline vec<T> pick(vec<T> a, vec<T> b, mask<T> places) {
#if defined(__clang__)
  vec<T> result;
  for (int lane = 0; lane < width<T>; ++lane)
    result[lane] = places[lane] < width<T> ? a[places[lane]] : b[places[lane] - width<T>];
  return result;
#else
  return __builtin_shuffle(a, b, places);
#endif
}

// Masks for D components: result[v] = pick(result[v], from[s], masks[v * D + s]) for each s.
template <typename T, int D>
struct Shuffles {
  std::array<mask<T>, D * D> slow, fast;  // to multiplicity slow, to channel fast

  Shuffles() {
    constexpr int n = width<T>;
    for (int v = 0; v < D; ++v)
      for (int s = 0; s < D; ++s)
        for (int lane = 0; lane < n; ++lane) {
          const int place = v * n + lane;  // channel place / D, component place % D
          slow[v * D + s][lane] = place % D == s ? n + place / D : lane;
          const int other = lane * D + v;  // where component v of channel `lane` lies
          fast[v * D + s][lane] = other / n == s ? n + other % n : lane;
        }
  }
  static const Shuffles& get() {
    static const Shuffles shuffles;
    return shuffles;
  }
};

template <typename T, int D>
inline void shuffle(const vec<T>* from, const std::array<mask<T>, D * D>& masks, vec<T>* to) {
#pragma GCC unroll 8
  for (int v = 0; v < D; ++v) {
    vec<T> value = from[0];
#pragma GCC unroll 8
    for (int s = 0; s < D; ++s) value = pick<T>(value, from[s], masks[v * D + s]);
    to[v] = value;
  }
}

template <typename T, int D, bool FAST>
void convert_whole(const T* from, T* to, int64_t channels) {
  const auto& masks = FAST ? Shuffles<T, D>::get().fast : Shuffles<T, D>::get().slow;
  int64_t u = 0;
  for (; u + width<T> <= channels; u += width<T>) {
    vec<T> a[D], b[D];
    for (int i = 0; i < D; ++i)
      a[i] = load<true>(FAST ? from + u * D + i * width<T> : from + i * channels + u, width<T>);
    shuffle<T, D>(a, masks, b);
    for (int i = 0; i < D; ++i)
      store<true>(FAST ? to + i * channels + u : to + u * D + i * width<T>, b[i], width<T>);
  }
  for (; u < channels; ++u)
    for (int i = 0; i < D; ++i)
      if (FAST)
        to[i * channels + u] = from[u * D + i];
      else
        to[u * D + i] = from[i * channels + u];
}

// FAST: from multiplicity slow to channel fast; otherwise the other way.
template <bool FAST, typename T>
void convert(const T* from, T* to, int64_t dim, int64_t channels) {
  switch (dim) {
    case 1: std::memcpy(to, from, sizeof(T) * channels); return;
    case 3: return convert_whole<T, 3, FAST>(from, to, channels);
    case 5: return convert_whole<T, 5, FAST>(from, to, channels);
    case 7: return convert_whole<T, 7, FAST>(from, to, channels);
    default:
      for (int64_t u = 0; u < channels; ++u)
        for (int64_t i = 0; i < dim; ++i)
          if (FAST)
            to[i * channels + u] = from[u * dim + i];
          else
            to[u * dim + i] = from[i * channels + u];
  }
}

}  // namespace intertwine
