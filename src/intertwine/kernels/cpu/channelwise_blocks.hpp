// What one edge and one path do to their channels: the value, the gradient, and the tangents of both.
//
// Lanes run over channels, and the channel is fast. Functions are compiled for the dimensions of degrees up to 3, and
// once for any other.

#pragma once

#include "channelwise_problem.hpp"

namespace intertwine {

// A dimension known when compiling (N > 0) or only when running (N = 0).
template <int N>
inline int size(int64_t runtime) {
  return N ? N : int(runtime);
}
constexpr int largest_dim = 63;
template <int N>
constexpr int room = N ? N : largest_dim;

// How a block is written: added to what is there, or for the first and only time, perhaps past the caches.
enum class Write { add, once };
struct Target {
  Write write;
  bool past, slow;
};

// The lanes of an output that one path alone writes, or several add to.
template <bool FULL, typename T>
inline void put(T* to, vec<T> value, Target target, int lanes) {
  if (target.write == Write::add)
    store<FULL>(to, load<FULL>(to, lanes) + value, lanes);
  else if (FULL && target.past)
    stream<T>(to, value);
  else
    store<FULL>(to, value, lanes);
}

// Writes the components of a block of lanes: each to its row of channels, or interleaved.
template <typename T, int N3, bool FULL>
inline void write_block(const Path& p, vec<T>* values, T* z, Target target, int64_t u, int lanes) {
  const int d3 = size<N3>(p.dim3);
  vec<T> mixed[room<N3>];
  if (target.slow && FULL && N3 > 1) {
    Transposition<T, N3 ? N3 : 1>::to_slow(values, mixed);
    values = mixed;
  } else if (target.slow && d3 > 1) {
    for (int k = 0; k < d3; ++k)
      for (int lane = 0; lane < lanes; ++lane) z[(u + lane) * d3 + k] = values[k][lane];
    return;
  }
  for (int k = 0; k < d3; ++k) {
    put<FULL>(target.slow ? z + u * d3 + k * width<T> : z + k * p.channels + u, values[k], target, lanes);
  }
}

// z += M^T (w x); with a tangent z += M^T (w tx + tw x) + tM^T (w x)
template <typename T, int N1, int N3, bool TANGENT, bool FULL, Write WRITE>
inline void value_block(const Path& p, const T* x, const T* w, const T* m, const T* tx, const T* tw, const T* tm, T* z,
                        Target target, int64_t u, int lanes) {
  const int d1 = size<N1>(p.dim1), d3 = size<N3>(p.dim3);
  const int64_t c = p.channels;
  vec<T> a[room<N1>], b[room<N1>], out[room<N3>];
  const vec<T> weight = load<FULL>(w + u, lanes), tweight = TANGENT && tw ? load<FULL>(tw + u, lanes) : zeros<T>();
  for (int i = 0; i < d1; ++i) {
    const vec<T> value = load<FULL>(x + i * c + u, lanes);
    a[i] = weight * value;
    if constexpr (TANGENT) b[i] = tweight * value + (tx ? weight * load<FULL>(tx + i * c + u, lanes) : zeros<T>());
  }
  for (int k = 0; k < d3; ++k) {
    vec<T> total = WRITE == Write::add ? load<FULL>(z + k * c + u, lanes) : zeros<T>();
    for (int i = 0; i < d1; ++i) {
      if constexpr (TANGENT)
        total += m[i * d3 + k] * b[i] + tm[i * d3 + k] * a[i];
      else
        total += m[i * d3 + k] * a[i];
    }
    if constexpr (WRITE == Write::add)
      store<FULL>(z + k * c + u, total, lanes);
    else
      out[k] = total;
  }
  if constexpr (WRITE == Write::once) write_block<T, N3, FULL>(p, out, z, target, u, lanes);
}

template <typename T, int N1, int N3, bool TANGENT, Write WRITE>
void value_blocks(const Path& p, const T* x, const T* w, const T* m, const T* tx, const T* tw, const T* tm, T* z,
                  Target target) {
  int64_t u = 0;
  for (; u + width<T> <= p.channels; u += width<T>)
    value_block<T, N1, N3, TANGENT, true, WRITE>(p, x, w, m, tx, tw, tm, z, target, u, width<T>);
  if (u < p.channels)
    value_block<T, N1, N3, TANGENT, false, WRITE>(p, x, w, m, tx, tw, tm, z, target, u, int(p.channels - u));
}

template <typename T, int N1, int N3, bool TANGENT>
void value_path(const Path& p, const T* x, const T* w, const T* m, const T* tx, const T* tw, const T* tm, T* z,
                Target target) {
  if (target.write == Write::once)
    value_blocks<T, N1, N3, TANGENT, Write::once>(p, x, w, m, tx, tw, tm, z, target);
  else
    value_blocks<T, N1, N3, TANGENT, Write::add>(p, x, w, m, tx, tw, tm, z, target);
}

// s = M g;  dx += w s;  dw = sum_i x s, written as `target` says;  a = w x is kept for the derivative by y. With
// TANGENT the tangent of each.
template <typename T, int N1, int N3, bool TANGENT, bool FULL>
inline void gradient_block(const Path& p, const T* x, const T* w, const T* m, const T* g, const T* tx, const T* tw,
                           const T* tm, T* dx, T* dw, Target target, T* kept, int64_t u, int lanes) {
  const int d1 = size<N1>(p.dim1), d3 = size<N3>(p.dim3);
  const int64_t c = p.channels;
  vec<T> s[room<N1>], ts[room<N1>];
  for (int i = 0; i < d1; ++i) s[i] = ts[i] = zeros<T>();
  for (int k = 0; k < d3; ++k) {
    const vec<T> grad = load<FULL>(g + k * c + u, lanes);
    for (int i = 0; i < d1; ++i) {
      s[i] += m[i * d3 + k] * grad;
      if constexpr (TANGENT) ts[i] += tm[i * d3 + k] * grad;
    }
  }
  const vec<T> weight = load<FULL>(w + u, lanes), tweight = TANGENT && tw ? load<FULL>(tw + u, lanes) : zeros<T>();
  vec<T> total = zeros<T>();
  for (int i = 0; i < d1; ++i) {
    const vec<T> value = load<FULL>(x + i * c + u, lanes);
    vec<T> step, product;
    if constexpr (TANGENT) {
      const vec<T> tvalue = tx ? load<FULL>(tx + i * c + u, lanes) : zeros<T>();
      step = weight * ts[i] + tweight * s[i];
      total += value * ts[i] + tvalue * s[i];
      product = weight * tvalue + tweight * value;
    } else {
      step = weight * s[i];
      total += value * s[i];
      product = weight * value;
    }
    if (dx) store<FULL>(dx + i * c + u, load<FULL>(dx + i * c + u, lanes) + step, lanes);
    if (kept) store<FULL>(kept + i * c + u, product, lanes);
  }
  if (dw) put<FULL>(dw + u, total, target, lanes);
}

// outer[i k] = sum over channels of a_i g_k, one number a lane. FIRST: from this row k of g on, as many rows at a time
// as leave all sums in registers; N: their places, so that the compiler sees each as a variable of its own.
template <typename T, int N1, int N3, int FIRST, int... N>
inline void outer_rows(const Path& p, const T* a, const T* g, vec<T>* outer, std::integer_sequence<int, N...>) {
  constexpr int rows = sizeof...(N) / N1;
  const int64_t c = p.channels;
  vec<T> total[] = {(void(N), zeros<T>())...};
  const auto add = [&](auto full, int64_t u, int lanes) __attribute__((always_inline)) {
    vec<T> grad[rows], value[N1];
    for (int k = 0; k < rows; ++k) grad[k] = load<full.value>(g + (FIRST + k) * c + u, lanes);
    for (int i = 0; i < N1; ++i) value[i] = load<full.value>(a + i * c + u, lanes);
    ((total[N] += value[N / rows] * grad[N % rows]), ...);
  };
  int64_t u = 0;
  for (; u + width<T> <= c; u += width<T>) add(std::true_type(), u, width<T>);
  if (u < c) add(std::false_type(), u, int(c - u));
  ((outer[N / rows * N3 + FIRST + N % rows] = total[N]), ...);
  constexpr int next = FIRST + rows, left = std::min(rows, N3 - next);
  if constexpr (left > 0)
    outer_rows<T, N1, N3, next>(p, a, g, outer, std::make_integer_sequence<int, N1 * left>());
}

template <typename T, int N1, int N3>
inline void outer_path(const Path& p, const T* a, const T* g, vec<T>* outer) {
  if constexpr (N1 && N3) {
    constexpr int rows = std::min(N3, 25 / N1);
    outer_rows<T, N1, N3, 0>(p, a, g, outer, std::make_integer_sequence<int, N1 * rows>());
  } else {
    for (int64_t i = 0; i < p.dim1; ++i)
      for (int64_t k = 0; k < p.dim3; ++k)
        outer_rows<T, 1, 1, 0>(p, a + i * p.channels, g + k * p.channels, outer + i * p.dim3 + k,
                               std::integer_sequence<int, 0>());
  }
}

template <typename T, int N1, int N3, bool TANGENT>
void gradient_path(const Path& p, const T* x, const T* w, const T* m, const T* g, const T* tx, const T* tw, const T* tm,
                   T* dx, T* dw, Target target, T* kept, vec<T>* outer) {
  int64_t u = 0;
  for (; u + width<T> <= p.channels; u += width<T>)
    gradient_block<T, N1, N3, TANGENT, true>(p, x, w, m, g, tx, tw, tm, dx, dw, target, kept, u, width<T>);
  if (u < p.channels)
    gradient_block<T, N1, N3, TANGENT, false>(p, x, w, m, g, tx, tw, tm, dx, dw, target, kept, u, int(p.channels - u));
  if (kept) outer_path<T, N1, N3>(p, kept, g, outer);
}

// Calls NAME<T, dim1, other, TANGENT> for degrees up to 3, and the general version beyond.
#define ROW(OTHER, NAME, D1, ...)                            \
  switch (OTHER) {                                           \
    case 1: return NAME<T, D1, 1, TANGENT>(__VA_ARGS__);     \
    case 3: return NAME<T, D1, 3, TANGENT>(__VA_ARGS__);     \
    case 5: return NAME<T, D1, 5, TANGENT>(__VA_ARGS__);     \
    case 7: return NAME<T, D1, 7, TANGENT>(__VA_ARGS__);     \
    default: return NAME<T, 0, 0, TANGENT>(__VA_ARGS__);     \
  }
#define DISPATCH(OTHER, NAME, ...)                           \
  switch (p.dim1) {                                          \
    case 1: ROW(OTHER, NAME, 1, __VA_ARGS__)                 \
    case 3: ROW(OTHER, NAME, 3, __VA_ARGS__)                 \
    case 5: ROW(OTHER, NAME, 5, __VA_ARGS__)                 \
    case 7: ROW(OTHER, NAME, 7, __VA_ARGS__)                 \
    default: return NAME<T, 0, 0, TANGENT>(__VA_ARGS__);     \
  }

template <typename T>
const T* shifted(const T* row, int64_t by) {
  return row ? row + by : nullptr;
}

template <typename T, bool TANGENT>
void value_any(const Path& p, const T* x, const T* w, const T* m, const T* tx, const T* tw, const T* tm, T* z,
               Target target) {
  DISPATCH(p.dim3, value_path, p, x, w, m, tx, tw, tm, z, target)
}

template <typename T, bool TANGENT>
void gradient_any(const Path& p, const T* x, const T* w, const T* m, const T* g, const T* tx, const T* tw, const T* tm,
                  T* dx, T* dw, Target target, T* kept, vec<T>* outer) {
  DISPATCH(p.dim3, gradient_path, p, x, w, m, g, tx, tw, tm, dx, dw, target, kept, outer)
}

}  // namespace intertwine
