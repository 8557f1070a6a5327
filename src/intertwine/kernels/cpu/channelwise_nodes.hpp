// The gradient of edges that end in one node and so share its row of g.
//
// The couplings meet g once a node, and edges then need no couplings at all:
//
//   G[i, j] = sum_k C[i, j, k] g[k]
//   s_i = sum_j y_j G[i, j];   dx_i += w s_i;   dw = sum_i x_i s_i;   dy_j = sum over i and channels of w x_i G[i, j]

#pragma once

#include "channelwise_blocks.hpp"

namespace intertwine {

// With TANGENT the tangent of each along (tx, ty, tw), of which tx and tw may be null. `steps`: dy, lane by lane.
template <typename T, int N1, int N2, bool TANGENT, bool FULL>
inline void edge_block(const Path& p, const T* coupled, const T* x, const T* y, const T* w, const T* tx, const T* ty,
                       const T* tw, T* dx, T* dw, Target target, vec<T>* steps, int64_t u, int lanes) {
  const int d1 = size<N1>(p.dim1), d2 = size<N2>(p.dim2);
  const int64_t c = p.channels;
  const vec<T> weight = load<FULL>(w + u, lanes), tweight = TANGENT && tw ? load<FULL>(tw + u, lanes) : zeros<T>();
  vec<T> total = zeros<T>(), turn[room<N2>];
  for (int j = 0; j < d2; ++j) turn[j] = zeros<T>();
  for (int i = 0; i < d1; ++i) {
    const vec<T> value = load<FULL>(x + i * c + u, lanes);
    const vec<T> tvalue = TANGENT && tx ? load<FULL>(tx + i * c + u, lanes) : zeros<T>();
    const vec<T> product = TANGENT ? weight * tvalue + tweight * value : weight * value;
    vec<T> s = zeros<T>(), ts = zeros<T>();
    for (int j = 0; j < d2; ++j) {
      const vec<T> g = load<FULL>(coupled + (i * d2 + j) * c + u, lanes);
      s += y[j] * g;
      if constexpr (TANGENT) ts += ty[j] * g;
      turn[j] += product * g;
    }
    const vec<T> step = TANGENT ? weight * ts + tweight * s : weight * s;
    total += TANGENT ? value * ts + tvalue * s : value * s;
    if (dx) store<FULL>(dx + i * c + u, load<FULL>(dx + i * c + u, lanes) + step, lanes);
  }
  if (dw) put<FULL>(dw + u, total, target, lanes);
  for (int j = 0; j < d2; ++j) steps[j] += turn[j];
}

template <typename T, int N1, int N2, bool TANGENT>
void edge_path(const Path& p, const T* coupled, const T* x, const T* y, const T* w, const T* tx, const T* ty,
               const T* tw, T* dx, T* dw, Target target, vec<T>* steps) {
  int64_t u = 0;
  for (; u + width<T> <= p.channels; u += width<T>)
    edge_block<T, N1, N2, TANGENT, true>(p, coupled, x, y, w, tx, ty, tw, dx, dw, target, steps, u, width<T>);
  if (u < p.channels)
    edge_block<T, N1, N2, TANGENT, false>(p, coupled, x, y, w, tx, ty, tw, dx, dw, target, steps, u,
                                          int(p.channels - u));
}

template <typename T, bool TANGENT>
void edge_any(const Path& p, const T* coupled, const T* x, const T* y, const T* w, const T* tx, const T* ty,
              const T* tw, T* dx, T* dw, Target target, vec<T>* steps) {
  DISPATCH(p.dim2, edge_path, p, coupled, x, y, w, tx, ty, tw, dx, dw, target, steps)
}

// What a thread needs for the gradient of edges that come node by node.
template <typename T, bool TANGENT>
struct Node {
  const Problem<T>& q;
  const T *x, *y, *w, *g, *tx, *ty, *tw;
  T *dy, *dw;
  std::vector<int64_t> places;  // of the rows G of each path
  LaneVectors<T> coupled, steps;
  std::vector<T> none;  // a tangent of y that is not there
  Target weights;  // how dw is written
  int64_t node = -1;

  Node(const Problem<T>& q, const T* x, const T* y, const T* w, const T* g, const T* tx, const T* ty, const T* tw,
       T* dy, T* dw)
      : q(q), x(x), y(y), w(w), g(g), tx(tx), ty(ty), tw(tw), dy(dy), dw(dw), steps(q.dim_y), none(q.dim_y) {
    int64_t total = 0;
    for (const Path* p = q.paths; p < q.paths + q.count; ++p) {
      places.push_back(total);
      total += whole_vectors<T>(p->dim1 * p->dim2 * p->channels) * width<T>;
    }
    coupled.resize(whole_vectors<T>(total));
    const bool once = q.weights_once;
    weights = {once ? Write::once : Write::add, once && dw && q.streams(dw, q.dim_w, &Path::w), false};
  }

  void couple(int64_t to) {
    if (to == node) return;
    node = to;
    std::fill(coupled.begin(), coupled.end(), zeros<T>());
    for (int64_t n = 0; n < q.count; ++n) {
      const Path& p = q.paths[n];
      for (int64_t t = p.first; t < p.last; ++t) {
        const Coefficient& c = q.coefficients[t];
        T* row = numbers<T>(coupled.data()) + places[n] + (int64_t(c.i) * p.dim2 + int64_t(c.j)) * p.channels;
        const T *from = g + to * q.dim_z + p.z + int64_t(c.k) * p.channels, value = T(c.value);
        for (int64_t u = 0; u < p.channels; ++u) row[u] += value * from[u];
      }
    }
  }

  // Adds to `step`, the derivative by the row of x, where it is wanted; writes those by y and w.
  void run(int64_t e, T* step) {
    couple(q.destination[e]);
    const int64_t from = q.source[e] * q.dim_x;
    std::fill(steps.begin(), steps.end(), zeros<T>());
    if (dw && !q.weights_once) std::fill(dw + e * q.dim_w, dw + (e + 1) * q.dim_w, T(0));
    for (int64_t n = 0; n < q.count; ++n) {
      const Path& p = q.paths[n];
      const int64_t weight = e * q.dim_w + p.w, turn = e * q.dim_y + p.y;
      edge_any<T, TANGENT>(p, numbers<T>(coupled.data()) + places[n], x + from + p.x, y + turn, w + weight,
                           shifted(tx, from + p.x), ty ? ty + turn : none.data(), shifted(tw, weight),
                           step ? step + p.x : nullptr, dw ? dw + weight : nullptr, weights, steps.data() + p.y);
    }
    if (dy)
      for (int64_t j = 0; j < q.dim_y; ++j) dy[e * q.dim_y + j] = sum<T>(steps[j]);
  }
};

}  // namespace intertwine
