// Between the two layouts of a block of features: multiplicity slow (u i) and channel fast (i u).
//
// W channels of D components are D vectors of W lanes in both layouts. D is odd and W a power of two, so row n of one
// layout and lane q meet component (n W + q) mod D: for a fixed lane the D rows run through the D components. A
// transposition is then one permutation of the lanes of each vector, and a rotation of each lane through the vectors by
// an amount that depends on the lane alone, done in log2(D) rounds of selections.

#pragma once

#include <array>

#include "common.hpp"

namespace intertwine {

template <typename T>
struct Places;
template <>
struct Places<float> {
  typedef std::int32_t type __attribute__((vector_size(64)));
};
template <>
struct Places<double> {
  typedef std::int64_t type __attribute__((vector_size(64)));
};
template <typename T>
using places = typename Places<T>::type;

// Lane n of the result is lane from[n] of the vector.
template <typename T>
inline vec<T> permute(vec<T> value, places<T> from) {
#if defined(__clang__)
  vec<T> result;
  for (int lane = 0; lane < width<T>; ++lane) result[lane] = value[from[lane]];
  return result;
#else
  return __builtin_shuffle(value, from);
#endif
}

// The lanes of b where a bit is set, those of a elsewhere.
template <typename T, unsigned BITS>
inline vec<T> select(vec<T> a, vec<T> b) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return reinterpret_cast<vec<T>>(
        _mm512_mask_blend_ps(BITS, reinterpret_cast<__m512>(a), reinterpret_cast<__m512>(b)));
  else
    return reinterpret_cast<vec<T>>(
        _mm512_mask_blend_pd(BITS, reinterpret_cast<__m512d>(a), reinterpret_cast<__m512d>(b)));
#else
  places<T> chosen;
  for (int lane = 0; lane < width<T>; ++lane) chosen[lane] = BITS >> lane & 1 ? -1 : 0;
  return chosen ? b : a;
#endif
}

// The transposition of D vectors. Row n W + q of the order "multiplicity slow" is component (n W + q) mod D, which is
// (n + turn(q)) W mod D.
template <typename T, int D>
struct Transposition {
  static constexpr int lanes = width<T>;
  static constexpr int component(int row) { return row * lanes % D; }
  static constexpr int turn(int lane) {
    int n = 0;
    while (component(n) != lane % D) ++n;
    return n;
  }
  static constexpr unsigned turned(int bit, bool back) {
    unsigned bits = 0;
    for (int lane = 0; lane < lanes; ++lane) {
      const int by = back ? (D - turn(lane)) % D : turn(lane);
      if (by >> bit & 1) bits |= 1u << lane;
    }
    return bits;
  }

  // slow[c]: where the lanes of component c come from on the way to multiplicity slow; fast[c]: on the way back.
  std::array<places<T>, D> slow, fast;

  Transposition() {
    for (int c = 0; c < D; ++c)
      for (int lane = 0; lane < lanes; ++lane) {
        int row = 0;
        while ((row * lanes + lane) % D != c) ++row;
        slow[c][lane] = (row * lanes + lane) / D;
        fast[c][lane] = (lane * D + c) % lanes;
      }
  }
  static const Transposition tables;

  template <bool BACK, int BIT = 0>
  static inline void rotate(vec<T>* rows) {
    if constexpr (1 << BIT < D) {
      vec<T> old[D];
#pragma GCC unroll 16
      for (int n = 0; n < D; ++n) old[n] = rows[n];
#pragma GCC unroll 16
      for (int n = 0; n < D; ++n) rows[n] = select<T, turned(BIT, BACK)>(old[n], old[(n + (1 << BIT)) % D]);
      rotate<BACK, BIT + 1>(rows);
    }
  }
  // From components, one a vector, to rows with the multiplicity slow.
  static inline void to_slow(const vec<T>* components, vec<T>* rows) {
#pragma GCC unroll 16
    for (int n = 0; n < D; ++n) rows[n] = permute<T>(components[component(n)], tables.slow[component(n)]);
    rotate<false>(rows);
  }
  static inline void to_fast(const vec<T>* rows, vec<T>* components) {
    vec<T> turned_rows[D];
#pragma GCC unroll 16
    for (int n = 0; n < D; ++n) turned_rows[n] = rows[n];
    rotate<true>(turned_rows);
#pragma GCC unroll 16
    for (int n = 0; n < D; ++n) components[component(n)] = permute<T>(turned_rows[n], tables.fast[component(n)]);
  }
};
template <typename T, int D>
const Transposition<T, D> Transposition<T, D>::tables;

// The same one number after another, for channels that fill no vector.
template <bool FAST, typename T>
inline void convert_rest(const T* from, T* to, int64_t dim, int64_t channels, int64_t first) {
  for (int64_t u = first; u < channels; ++u)
    for (int64_t i = 0; i < dim; ++i)
      if (FAST)
        to[i * channels + u] = from[u * dim + i];
      else
        to[u * dim + i] = from[i * channels + u];
}

template <typename T, int D, bool FAST>
void convert_whole(const T* from, T* to, int64_t channels) {
  int64_t u = 0;
  for (; u + width<T> <= channels; u += width<T>) {
    vec<T> a[D], b[D];
    for (int i = 0; i < D; ++i)
      a[i] = load<true>(FAST ? from + u * D + i * width<T> : from + i * channels + u, width<T>);
    if constexpr (FAST)
      Transposition<T, D>::to_fast(a, b);
    else
      Transposition<T, D>::to_slow(a, b);
    for (int i = 0; i < D; ++i)
      store<true>(FAST ? to + i * channels + u : to + u * D + i * width<T>, b[i], width<T>);
  }
  convert_rest<FAST>(from, to, D, channels, u);
}

// FAST: from multiplicity slow to channel fast; otherwise the other way.
template <bool FAST, typename T>
void convert(const T* from, T* to, int64_t dim, int64_t channels) {
  switch (dim) {
    case 1: std::memcpy(to, from, sizeof(T) * channels); return;
    case 3: return convert_whole<T, 3, FAST>(from, to, channels);
    case 5: return convert_whole<T, 5, FAST>(from, to, channels);
    case 7: return convert_whole<T, 7, FAST>(from, to, channels);
    case 9: return convert_whole<T, 9, FAST>(from, to, channels);
    case 11: return convert_whole<T, 11, FAST>(from, to, channels);
    case 13: return convert_whole<T, 13, FAST>(from, to, channels);
    default: return convert_rest<FAST>(from, to, dim, channels, 0);
  }
}

}  // namespace intertwine
