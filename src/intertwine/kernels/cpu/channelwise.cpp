// Channel-wise tensor product with per-edge weights, summed over the edges of a node.
//
//   z[d, k u] = sum over edges e into d, paths p, and i, j of  C_p[i, j, k] x[s(e), i u] y[e, j] w[e, p u]
//
// Each edge first contracts its harmonics with the couplings into one small matrix a path, M[i, k]; then lanes run over
// channels. No message of an edge is ever stored. `gradient` gives the derivatives of sum(g z); `tangent` the
// derivative of all of them along (tx, ty, tw), which is what the backward of `gradient` needs.
//
// Inside, the channel is fast. Rows of x and z may have the multiplicity slow where every edge has rows of its own.

#include <memory>

#include "channelwise_nodes.hpp"

namespace intertwine {

inline int64_t chunk(int64_t groups, int threads) { return std::max<int64_t>(1, groups / (16 * threads)); }

template <typename T, bool TANGENT>
void value(const Problem<T>& q, const T* x, const T* y, const T* w, const T* tx, const T* ty, const T* tw, T* z,
           int threads) {
  const Groups groups(q.destination, q.edges, q.nodes_out);
  expect_writes(z, sizeof(T) * groups.count * q.dim_z);
  const Write write = q.destination || !q.outputs_once ? Write::add : Write::once;
  const Target target{write, write == Write::once && q.streams(z, q.dim_z, &Path::z), q.slow};
#pragma omp parallel num_threads(useful(threads, q.numbers_moved()))
  {
    const int64_t wide_x = whole_vectors<T>(q.dim_x), wide_z = whole_vectors<T>(q.dim_z);
    LaneVectors<T> matrices(2 * whole_vectors<T>(q.matrices));
    LaneVectors<T> rows(q.slow ? 2 * wide_x + (write == Write::add ? wide_z : 0) : 0);
    T *m = numbers<T>(matrices.data()), *tm = m + q.matrices;
    T *fast = numbers<T>(rows.data()), *tfast = fast + wide_x * width<T>, *fast_z = tfast + wide_x * width<T>;
#pragma omp for schedule(dynamic, chunk(groups.count, threads))
    for (int64_t group = 0; group < groups.count; ++group) {
      T* out = z + group * q.dim_z;
      if (write == Write::add) {
        if (q.slow) out = fast_z;
        std::fill(out, out + q.dim_z, T(0));
      }
      for (int64_t place = groups.first(group); place < groups.last(group); ++place) {
        const int64_t e = groups.edge(place), from = (q.source ? q.source[e] : e) * q.dim_x;
        q.fill(y + e * q.dim_y, m);
        if (TANGENT && ty) q.fill(ty + e * q.dim_y, tm);
        const T *row = x + from, *trow = shifted(tx, from);
        if (q.slow) {
          q.template convert_x<true>(row, fast);
          row = fast;
          if (tx) q.template convert_x<true>(trow, tfast);
          if (tx) trow = tfast;
        }
        for (int64_t n = 0; n < q.count; ++n) {
          const Path& p = q.paths[n];
          value_any<T, TANGENT>(p, row + p.x, w + e * q.dim_w + p.w, m + q.place[n], shifted(trow, p.x),
                                shifted(tw, e * q.dim_w + p.w), tm + q.place[n], out + p.z, target);
        }
      }
      if (q.slow && write == Write::add) {
        std::fill_n(z + group * q.dim_z, q.dim_z, T(0));
        for (int64_t n = 0; n < q.count; ++n) {
          const Path& p = q.paths[n];  // paths that share a block convert it more than once
          convert<false>(out + p.z, z + group * q.dim_z + p.z, p.dim3, p.channels);
        }
      }
    }
    end_streams();
  }
}

// What a thread needs for the gradient of edges.
template <typename T, bool TANGENT>
struct Edges {
  const Problem<T>& q;
  const T *x, *y, *w, *g, *tx, *ty, *tw;
  T *dy, *dw;
  LaneVectors<T> matrices, kept, fast_x, fast_tx, fast_dx, fast_g, outer, steps;
  T *m, *tm;
  Target weights;  // how dw is written

  Edges(const Problem<T>& q, const T* x, const T* y, const T* w, const T* g, const T* tx, const T* ty, const T* tw,
        T* dy, T* dw)
      : q(q), x(x), y(y), w(w), g(g), tx(tx), ty(ty), tw(tw), dy(dy), dw(dw),
        matrices(2 * whole_vectors<T>(q.matrices)), kept(whole_vectors<T>(q.largest)), fast_x(row(q.dim_x)),
        fast_tx(row(q.dim_x)), fast_dx(row(q.dim_x)), fast_g(row(q.largest)), outer(q.largest), steps(q.dim_y) {
    m = numbers<T>(matrices.data()), tm = m + q.matrices;
    const bool once = q.weights_once;
    weights = {once ? Write::once : Write::add, once && dw && q.streams(dw, q.dim_w, &Path::w), false};
  }
  int64_t row(int64_t dim) const { return q.slow ? whole_vectors<T>(dim) : 0; }

  // Adds to `step`, the derivative by the row of x, where it is wanted; writes those by y and w.
  // Rows of the edge `next` are asked for meanwhile.
  void run(int64_t e, int64_t next, const T* row, const T* trow, T* step) {
    const int64_t to = (q.destination ? q.destination[e] : e) * q.dim_z;
    const int64_t next_to = (q.destination ? q.destination[next] : next) * q.dim_z;
    const int64_t next_from = (q.source ? q.source[next] : next) * q.dim_x;
    ask(x + next_from, q.dim_x);
    if (TANGENT && tx) ask(tx + next_from, q.dim_x);
    q.fill(y + e * q.dim_y, m);
    if (TANGENT && ty) q.fill(ty + e * q.dim_y, tm);
    std::fill(steps.begin(), steps.end(), zeros<T>());
    if (dw && !q.weights_once) std::fill(dw + e * q.dim_w, dw + (e + 1) * q.dim_w, T(0));
    const int32_t* end = q.ends.data();
    int32_t term = 0;
    for (int64_t n = 0; n < q.count; ++n) {
      const Path& p = q.paths[n];
      const int64_t weight = e * q.dim_w + p.w;
      const T* grad = g + to + p.z;
      if (next_to != to) ask(g + next_to + p.z, p.dim3 * p.channels);
      ask(w + next * q.dim_w + p.w, p.channels);
      if (TANGENT && tw) ask(tw + next * q.dim_w + p.w, p.channels);
      if (q.slow && p.dim3 > 1) {
        convert<true>(grad, numbers<T>(fast_g.data()), p.dim3, p.channels);
        grad = numbers<T>(fast_g.data());
      }
      gradient_any<T, TANGENT>(p, row + p.x, w + weight, m + q.place[n], grad, shifted(trow, p.x), shifted(tw, weight),
                               tm + q.place[n], step ? step + p.x : nullptr, dw ? dw + weight : nullptr,
                               weights, dy ? numbers<T>(kept.data()) : nullptr, outer.data());
      if (dy) q.contract(p, outer.data(), steps.data(), end, term);
    }
    if (dy)
      for (int64_t j = 0; j < q.dim_y; ++j) dy[e * q.dim_y + j] = sum<T>(steps[j]);
  }
};

// Every row of x belongs to one edge, or to the edges that share it as their source: no two threads meet.
template <typename T, bool TANGENT>
void gradient_by_rows(const Problem<T>& q, const Edges<T, TANGENT>& edges, T* dx, int threads) {
  const Groups groups(q.source, q.edges, q.nodes_in);
#pragma omp parallel num_threads(useful(threads, q.numbers_moved()))
  {
    Edges<T, TANGENT> own(q, edges.x, edges.y, edges.w, edges.g, edges.tx, edges.ty, edges.tw, edges.dy, edges.dw);
#pragma omp for schedule(dynamic, chunk(groups.count, threads))
    for (int64_t group = 0; group < groups.count; ++group) {
      const T *row = own.x + group * q.dim_x, *trow = shifted(own.tx, group * q.dim_x);
      T* step = dx ? q.slow ? numbers<T>(own.fast_dx.data()) : dx + group * q.dim_x : nullptr;
      if (step) std::fill(step, step + q.dim_x, T(0));
      if (q.slow) {
        T *fast = numbers<T>(own.fast_x.data()), *tfast = numbers<T>(own.fast_tx.data());
        q.template convert_x<true>(row, fast);
        row = fast;
        if (trow) q.template convert_x<true>(trow, tfast);
        if (trow) trow = tfast;
      }
      for (int64_t place = groups.first(group); place < groups.last(group); ++place)
        own.run(groups.edge(place), groups.edge(std::min(place + 1, q.edges - 1)), row, trow, step);
      if (q.slow && dx && !q.inputs_whole) std::fill_n(dx + group * q.dim_x, q.dim_x, T(0));
      if (q.slow && dx) q.template convert_x<false>(step, dx + group * q.dim_x);
    }
    end_streams();
  }
}

// Edges in the order of their destination: each row of g, the largest, is then read once. Derivatives by x are added
// up in as many copies as there are parts, a number that does not depend on the threads: sums are repeatable.
inline int64_t parts(int64_t edges) { return std::min<int64_t>(16, 1 + edges / 4096); }

template <typename T, bool TANGENT>
void gradient_by_destination(const Problem<T>& q, const Edges<T, TANGENT>& edges, T* dx, int threads) {
  const Groups groups(q.destination, q.edges, q.nodes_out);
  const int64_t size = q.nodes_in * q.dim_x, count = parts(q.edges);
  const std::unique_ptr<T[]> copies(dx ? new T[count * size] : nullptr);  // each part clears its own
#pragma omp parallel num_threads(useful(threads, q.numbers_moved()))
  {
    Node<T, TANGENT> own(q, edges.x, edges.y, edges.w, edges.g, edges.tx, edges.ty, edges.tw, edges.dy, edges.dw);
#pragma omp for schedule(dynamic, 1)
    for (int64_t part = 0; part < count; ++part) {
      T* copy = dx ? copies.get() + part * size : nullptr;
      if (copy) std::fill(copy, copy + size, T(0));
      for (int64_t place = part * q.edges / count; place < (part + 1) * q.edges / count; ++place) {
        const int64_t e = groups.edge(place), next = groups.edge(std::min(place + 2, q.edges - 1));
        ask(edges.x + q.source[next] * q.dim_x, q.dim_x);
        if (copy) ask(copy + q.source[next] * q.dim_x, q.dim_x);
        own.run(e, copy ? copy + q.source[e] * q.dim_x : nullptr);
      }
    }
    end_streams();
#pragma omp for schedule(static)
    for (int64_t node = 0; node < (dx ? q.nodes_in : 0); ++node) {
      T* to = dx + node * q.dim_x;
      std::copy_n(copies.get() + node * q.dim_x, q.dim_x, to);
      for (int64_t part = 1; part < count; ++part) {
        const T* from = copies.get() + part * size + node * q.dim_x;
        for (int64_t n = 0; n < q.dim_x; ++n) to[n] += from[n];
      }
    }
  }
}

template <typename T, bool TANGENT>
void gradient(const Problem<T>& q, const T* x, const T* y, const T* w, const T* g, const T* tx, const T* ty,
              const T* tw, T* dx, T* dy, T* dw, int threads) {
  if (dx) expect_writes(dx, sizeof(T) * q.nodes_in * q.dim_x);
  if (dw) expect_writes(dw, sizeof(T) * q.edges * q.dim_w);
  const Edges<T, TANGENT> edges(q, x, y, w, g, tx, ty, tw, dy, dw);
  // worth it where the copies are small beside the messages that are not kept, and edges share their nodes
  const bool small = parts(q.edges) * q.nodes_in * q.dim_x <= q.edges * q.dim_z;
  if (q.source && q.destination && small && q.edges >= 2 * q.nodes_out)
    gradient_by_destination<T, TANGENT>(q, edges, dx, threads);
  else
    gradient_by_rows<T, TANGENT>(q, edges, dx, threads);
}

template <typename T>
Problem<T> problem(const int64_t* paths, int64_t count, const double* coefficients, const int64_t* sizes,
                   const int64_t* source, const int64_t* destination) {
  Problem<T> q;
  q.paths = reinterpret_cast<const Path*>(paths), q.count = count;
  q.coefficients = reinterpret_cast<const Coefficient*>(coefficients);
  q.edges = sizes[0], q.nodes_in = sizes[1], q.nodes_out = sizes[2];
  q.dim_x = sizes[3], q.dim_y = sizes[4], q.dim_z = sizes[5], q.dim_w = sizes[6];
  q.source = source, q.destination = destination, q.slow = sizes[7];
  q.prepare();
  return q;
}

}  // namespace intertwine

// sizes: edges, nodes_in, nodes_out, dim_x, dim_y, dim_z, dim_w, multiplicity slow. Null pointers: what is not given or
// not wanted.
// Returns 0, or 1 if an index names no row.
#define PROBLEM                                                                                                  \
  const int64_t *paths, int64_t count, const double *coefficients, const int64_t *sizes, const int64_t *source, \
      const int64_t *destination
#define DEFINE(T, SUFFIX)                                                                                       \
  EXPORT int value_##SUFFIX(PROBLEM, const T* x, const T* y, const T* w, T* z, int threads) {                   \
    const auto q = intertwine::problem<T>(paths, count, coefficients, sizes, source, destination);              \
    if (!q.sound()) return 1;                                                                                   \
    intertwine::value<T, false>(q, x, y, w, nullptr, nullptr, nullptr, z, threads);                             \
    return 0;                                                                                                   \
  }                                                                                                             \
  EXPORT int gradient_##SUFFIX(PROBLEM, const T* x, const T* y, const T* w, const T* g, T* dx, T* dy, T* dw,    \
                               int threads) {                                                                   \
    const auto q = intertwine::problem<T>(paths, count, coefficients, sizes, source, destination);              \
    if (!q.sound()) return 1;                                                                                   \
    intertwine::gradient<T, false>(q, x, y, w, g, nullptr, nullptr, nullptr, dx, dy, dw, threads);              \
    return 0;                                                                                                   \
  }                                                                                                             \
  EXPORT int tangent_##SUFFIX(PROBLEM, const T* x, const T* y, const T* w, const T* g, const T* tx, const T* ty, \
                              const T* tw, T* dx, T* dy, T* dw, T* dz, int threads) {                           \
    const auto q = intertwine::problem<T>(paths, count, coefficients, sizes, source, destination);              \
    if (!q.sound()) return 1;                                                                                   \
    if (dx || dy || dw) intertwine::gradient<T, true>(q, x, y, w, g, tx, ty, tw, dx, dy, dw, threads);          \
    if (dz) intertwine::value<T, true>(q, x, y, w, tx, ty, tw, dz, threads);                                    \
    return 0;                                                                                                   \
  }

DEFINE(float, f32)
DEFINE(double, f64)
