// Channel-wise tensor product with per-edge weights, summed over the edges of a node.
//
//   z[d, k u] = sum over edges e into d, paths p, and i, j of  C_p[i, j, k] x[s(e), i u] y[e, j] w[e, p u]
//
// Each edge first contracts its harmonics with the couplings into one small matrix a path, M[i, k]; then lanes run over
// channels. No message of an edge is ever stored. `gradient` gives the derivatives of sum(g z); `tangent` the
// derivative of all of them along (tx, ty, tw), which is what the backward of `gradient` needs.
//
// Inside, the channel is fast. Rows of x and z may have the multiplicity slow where every edge has rows of its own.

#include <algorithm>

#include "layout.hpp"

namespace intertwine {

struct Path {
  int64_t x, dim1, y, dim2, z, dim3, w, channels, first, last;  // offsets in rows; range of coefficients
};

struct Coefficient {
  double i, j, k, value;
};

template <typename T>
struct Problem {
  const Path* paths;
  int64_t count;
  const Coefficient* coefficients;
  int64_t edges, nodes_in, nodes_out, dim_x, dim_y, dim_z, dim_w;
  const int64_t *source, *destination;
  bool slow;  // rows of x and z have the multiplicity slow; only without source and destination
  std::vector<const Path*> blocks;  // one path for each block of x
  std::vector<int64_t> place;  // of the matrix of each path in a row of matrices
  int64_t matrices = 0, largest = 0;
  struct Term {
    int32_t ik, j;
    T value;
  };
  std::vector<Term> terms;

  void prepare() {
    for (int64_t p = 0; p < count; ++p) {
      place.push_back(matrices);
      matrices += paths[p].dim1 * paths[p].dim3;
      largest = std::max({largest, paths[p].dim1 * paths[p].dim3, paths[p].dim1 * paths[p].channels,
                          paths[p].dim3 * paths[p].channels});
      const auto same = [&](const Path* other) { return other->x == paths[p].x; };
      if (std::none_of(blocks.begin(), blocks.end(), same)) blocks.push_back(paths + p);
      for (int64_t n = paths[p].first; n < paths[p].last; ++n) {
        const Coefficient& c = coefficients[n];
        terms.push_back({int32_t(c.i * paths[p].dim3 + c.k), int32_t(paths[p].y + c.j), T(c.value)});
      }
    }
  }
  bool sound() const { return inside(source, edges, nodes_in) && inside(destination, edges, nodes_out); }
  // Whether every number of a row of z is written by exactly one path.
  bool covered() const {
    std::vector<char> written(dim_z, 0);
    int64_t total = 0;
    for (int64_t p = 0; p < count; ++p)
      for (int64_t n = 0; n < paths[p].dim3 * paths[p].channels; ++n, ++total)
        if (written[paths[p].z + n]++) return false;
    return total == dim_z;
  }
  // Whether z is larger than what caches keep, and every block of it aligned.
  bool streams(const T* z) const {
    if (std::size_t(edges) * dim_z * sizeof(T) < (std::size_t(8) << 20) || !aligned(z) || dim_z % width<T>) return false;
    for (int64_t p = 0; p < count; ++p)
      if (paths[p].z % width<T> || paths[p].channels % width<T>) return false;
    return true;
  }
  template <bool FAST>
  void convert_x(const T* from, T* to) const {
    for (const Path* p : blocks) convert<FAST>(from + p->x, to + p->x, p->dim1, p->channels);
  }
  void fill(const T* y, T* m) const {
    std::fill(m, m + matrices, T(0));
    for (int64_t p = 0; p < count; ++p)
      for (int64_t n = paths[p].first; n < paths[p].last; ++n) m[place[p] + terms[n].ik] += terms[n].value * y[terms[n].j];
  }
};

// A dimension known when compiling (N > 0) or only when running (N = 0).
template <int N>
inline int size(int64_t runtime) {
  return N ? N : int(runtime);
}
constexpr int largest_dim = 32;
template <int N>
constexpr int room = N ? N : largest_dim;

// z += M^T (w x); with a tangent z += M^T (w tx + tw x) + tM^T (w x)
// How a block of z is written: added to what is there, or for the first and only time, perhaps past the caches.
enum class Write { add, once };
struct Target {
  Write write;
  bool past, slow;
};

// Writes the components of a block of lanes: each to its row of channels, or interleaved.
template <typename T, int N3, bool FULL>
inline void write_block(const Path& p, vec<T>* values, T* z, Target target, int64_t u, int lanes) {
  const int d3 = size<N3>(p.dim3);
  vec<T> mixed[room<N3>];
  if (target.slow && FULL && N3 > 1) {
    shuffle<T, N3 ? N3 : 1>(values, Shuffles<T, N3 ? N3 : 1>::get().slow, mixed);
    values = mixed;
  } else if (target.slow && d3 > 1) {
    for (int k = 0; k < d3; ++k)
      for (int lane = 0; lane < lanes; ++lane) z[(u + lane) * d3 + k] = values[k][lane];
    return;
  }
  for (int k = 0; k < d3; ++k) {
    T* to = target.slow ? z + u * d3 + k * width<T> : z + k * p.channels + u;
    if (FULL && target.past)
      stream<T>(to, values[k]);
    else
      store<FULL>(to, values[k], lanes);
  }
}

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

// s = M g;  dx += w s;  dw = sum_i x s;  a = w x is kept for the derivative by y. The tangent of each with TANGENT.
template <typename T, int N1, int N3, bool TANGENT, bool FULL>
inline void gradient_block(const Path& p, const T* x, const T* w, const T* m, const T* g, const T* tx, const T* tw,
                           const T* tm, T* dx, T* dw, T* kept, int64_t u, int lanes) {
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
  if (dw) store<FULL>(dw + u, total, lanes);
}

// outer[i k] = sum over channels of a_i g_k, one number a lane
template <typename T, int N1, int N3>
void outer_path(const Path& p, const T* a, const T* g, vec<T>* outer) {
  const int d1 = size<N1>(p.dim1), d3 = size<N3>(p.dim3);
  const int64_t c = p.channels;
  for (int k = 0; k < d3; ++k) {
    vec<T> total[room<N1>];
    for (int i = 0; i < d1; ++i) total[i] = zeros<T>();
    int64_t u = 0;
    for (; u + width<T> <= c; u += width<T>) {
      const vec<T> grad = load<true>(g + k * c + u, width<T>);
      for (int i = 0; i < d1; ++i) total[i] += load<true>(a + i * c + u, width<T>) * grad;
    }
    if (u < c) {
      const vec<T> grad = load<false>(g + k * c + u, int(c - u));
      for (int i = 0; i < d1; ++i) total[i] += load<false>(a + i * c + u, int(c - u)) * grad;
    }
    for (int i = 0; i < d1; ++i) outer[i * d3 + k] = total[i];
  }
}

template <typename T, int N1, int N3, bool TANGENT>
void gradient_path(const Path& p, const T* x, const T* w, const T* m, const T* g, const T* tx, const T* tw, const T* tm,
                   T* dx, T* dw, T* kept, vec<T>* outer) {
  int64_t u = 0;
  for (; u + width<T> <= p.channels; u += width<T>)
    gradient_block<T, N1, N3, TANGENT, true>(p, x, w, m, g, tx, tw, tm, dx, dw, kept, u, width<T>);
  if (u < p.channels)
    gradient_block<T, N1, N3, TANGENT, false>(p, x, w, m, g, tx, tw, tm, dx, dw, kept, u, int(p.channels - u));
  if (kept) outer_path<T, N1, N3>(p, kept, g, outer);
}

// Calls NAME<T, dim1, dim3, TANGENT> for degrees up to 3, and the general version beyond.
#define ROW(NAME, D1, ...)                                   \
  switch (p.dim3) {                                          \
    case 1: return NAME<T, D1, 1, TANGENT>(__VA_ARGS__);     \
    case 3: return NAME<T, D1, 3, TANGENT>(__VA_ARGS__);     \
    case 5: return NAME<T, D1, 5, TANGENT>(__VA_ARGS__);     \
    case 7: return NAME<T, D1, 7, TANGENT>(__VA_ARGS__);     \
    default: return NAME<T, 0, 0, TANGENT>(__VA_ARGS__);     \
  }
#define DISPATCH(NAME, ...)                                  \
  switch (p.dim1) {                                          \
    case 1: ROW(NAME, 1, __VA_ARGS__)                        \
    case 3: ROW(NAME, 3, __VA_ARGS__)                        \
    case 5: ROW(NAME, 5, __VA_ARGS__)                        \
    case 7: ROW(NAME, 7, __VA_ARGS__)                        \
    default: return NAME<T, 0, 0, TANGENT>(__VA_ARGS__);     \
  }

template <typename T, bool TANGENT>
void value_any(const Path& p, const T* x, const T* w, const T* m, const T* tx, const T* tw, const T* tm, T* z,
               Target target) {
  DISPATCH(value_path, p, x, w, m, tx, tw, tm, z, target)
}

template <typename T, bool TANGENT>
void gradient_any(const Path& p, const T* x, const T* w, const T* m, const T* g, const T* tx, const T* tw, const T* tm,
                  T* dx, T* dw, T* kept, vec<T>* outer) {
  DISPATCH(gradient_path, p, x, w, m, g, tx, tw, tm, dx, dw, kept, outer)
}

inline int64_t chunk(int64_t groups, int threads) { return std::max<int64_t>(1, groups / (16 * threads)); }

template <typename T>
const T* shifted(const T* row, int64_t by) {
  return row ? row + by : nullptr;
}

template <typename T, bool TANGENT>
void value(const Problem<T>& q, const T* x, const T* y, const T* w, const T* tx, const T* ty, const T* tw, T* z,
           int threads) {
  const Groups groups(q.destination, q.edges, q.nodes_out);
  expect_writes(z, sizeof(T) * groups.count * q.dim_z);
  const Write write = q.destination || !q.covered() ? Write::add : Write::once;
  const Target target{write, write == Write::once && q.streams(z), q.slow};
#pragma omp parallel num_threads(threads)
  {
    std::vector<T> matrices(2 * q.matrices), rows(q.slow ? 2 * q.dim_x + (write == Write::add ? q.dim_z : 0) : 0);
    T *m = matrices.data(), *tm = m + q.matrices;
#pragma omp for schedule(dynamic, chunk(groups.count, threads))
    for (int64_t group = 0; group < groups.count; ++group) {
      T* out = z + group * q.dim_z;
      if (write == Write::add) {
        if (q.slow) out = rows.data() + 2 * q.dim_x;
        std::fill(out, out + q.dim_z, T(0));
      }
      for (int64_t place = groups.first(group); place < groups.last(group); ++place) {
        const int64_t e = groups.edge(place), from = (q.source ? q.source[e] : e) * q.dim_x;
        q.fill(y + e * q.dim_y, m);
        if (TANGENT && ty) q.fill(ty + e * q.dim_y, tm);
        const T *row = x + from, *trow = shifted(tx, from);
        if (q.slow) {
          q.template convert_x<true>(row, rows.data());
          row = rows.data();
          if (tx) q.template convert_x<true>(trow, rows.data() + q.dim_x);
          if (tx) trow = rows.data() + q.dim_x;
        }
        for (int64_t n = 0; n < q.count; ++n) {
          const Path& p = q.paths[n];
          value_any<T, TANGENT>(p, row + p.x, w + e * q.dim_w + p.w, m + q.place[n], shifted(trow, p.x),
                                shifted(tw, e * q.dim_w + p.w), tm + q.place[n], out + p.z, target);
        }
      }
      if (q.slow && write == Write::add)
        for (int64_t n = 0; n < q.count; ++n) {
          const Path& p = q.paths[n];  // paths that share a block convert it more than once
          convert<false>(out + p.z, z + group * q.dim_z + p.z, p.dim3, p.channels);
        }
    }
  }
}

// What a thread needs for the gradient of edges.
template <typename T, bool TANGENT>
struct Edges {
  const Problem<T>& q;
  const T *x, *y, *w, *g, *tx, *ty, *tw;
  T *dy, *dw;
  std::vector<T> matrices, kept, rows;
  std::vector<vec<T>> outer, steps;
  T *m, *tm, *fast, *tfast, *fast_step, *fast_g;

  Edges(const Problem<T>& q, const T* x, const T* y, const T* w, const T* g, const T* tx, const T* ty, const T* tw,
        T* dy, T* dw)
      : q(q), x(x), y(y), w(w), g(g), tx(tx), ty(ty), tw(tw), dy(dy), dw(dw), matrices(2 * q.matrices),
        kept(q.largest), rows(q.slow ? 3 * q.dim_x + q.largest : 0), outer(2 * q.largest), steps(q.dim_y) {
    m = matrices.data(), tm = m + q.matrices;
    fast = rows.data(), tfast = fast + q.dim_x, fast_step = tfast + q.dim_x, fast_g = fast_step + q.dim_x;
  }

  // Adds to `step`, the derivative by the row of x, where it is wanted; writes those by y and w.
  void run(int64_t e, const T* row, const T* trow, T* step) {
    const int64_t to = (q.destination ? q.destination[e] : e) * q.dim_z;
    q.fill(y + e * q.dim_y, m);
    if (TANGENT && ty) q.fill(ty + e * q.dim_y, tm);
    std::fill(steps.begin(), steps.end(), zeros<T>());
    for (int64_t n = 0; n < q.count; ++n) {
      const Path& p = q.paths[n];
      const int64_t weight = e * q.dim_w + p.w;
      const T* grad = g + to + p.z;
      if (q.slow) {
        convert<true>(grad, fast_g, p.dim3, p.channels);
        grad = fast_g;
      }
      gradient_any<T, TANGENT>(p, row + p.x, w + weight, m + q.place[n], grad, shifted(trow, p.x), shifted(tw, weight),
                               tm + q.place[n], step ? step + p.x : nullptr, dw ? dw + weight : nullptr,
                               dy ? kept.data() : nullptr, outer.data());
      if (dy)
        for (int64_t t = p.first; t < p.last; ++t) steps[q.terms[t].j] += q.terms[t].value * outer[q.terms[t].ik];
    }
    if (dy)
      for (int64_t j = 0; j < q.dim_y; ++j) dy[e * q.dim_y + j] = sum<T>(steps[j]);
  }
};

// Every row of x belongs to one edge, or to the edges that share it as their source: no two threads meet.
template <typename T, bool TANGENT>
void gradient_by_rows(const Problem<T>& q, const Edges<T, TANGENT>& edges, T* dx, int threads) {
  const Groups groups(q.source, q.edges, q.nodes_in);
#pragma omp parallel num_threads(threads)
  {
    Edges<T, TANGENT> own(q, edges.x, edges.y, edges.w, edges.g, edges.tx, edges.ty, edges.tw, edges.dy, edges.dw);
#pragma omp for schedule(dynamic, chunk(groups.count, threads))
    for (int64_t group = 0; group < groups.count; ++group) {
      const T *row = own.x + group * q.dim_x, *trow = shifted(own.tx, group * q.dim_x);
      T* step = dx ? q.slow ? own.fast_step : dx + group * q.dim_x : nullptr;
      if (step) std::fill(step, step + q.dim_x, T(0));
      if (q.slow) {
        q.template convert_x<true>(row, own.fast);
        row = own.fast;
        if (trow) q.template convert_x<true>(trow, own.tfast);
        if (trow) trow = own.tfast;
      }
      for (int64_t place = groups.first(group); place < groups.last(group); ++place)
        own.run(groups.edge(place), row, trow, step);
      if (q.slow && dx) q.template convert_x<false>(own.fast_step, dx + group * q.dim_x);
    }
  }
}

// Edges in the order of their destination, whose rows of g, the largest, are then read once. Derivatives by x are added
// up in as many copies as there are parts, a number that does not depend on the threads: sums are repeatable.
constexpr int64_t parts = 16;

template <typename T, bool TANGENT>
void gradient_by_destination(const Problem<T>& q, const Edges<T, TANGENT>& edges, T* dx, int threads) {
  const Groups groups(q.destination, q.edges, q.nodes_out);
  const int64_t size = q.nodes_in * q.dim_x;
  std::vector<T> copies(dx ? parts * size : 0);
#pragma omp parallel num_threads(threads)
  {
    Edges<T, TANGENT> own(q, edges.x, edges.y, edges.w, edges.g, edges.tx, edges.ty, edges.tw, edges.dy, edges.dw);
#pragma omp for schedule(dynamic, 1)
    for (int64_t part = 0; part < parts; ++part)
      for (int64_t place = part * q.edges / parts; place < (part + 1) * q.edges / parts; ++place) {
        const int64_t e = groups.edge(place), row = q.source[e] * q.dim_x;
        own.run(e, own.x + row, shifted(own.tx, row), dx ? copies.data() + part * size + row : nullptr);
      }
#pragma omp for schedule(static)
    for (int64_t node = 0; node < (dx ? q.nodes_in : 0); ++node)
      for (int64_t n = node * q.dim_x; n < (node + 1) * q.dim_x; ++n) {
        T total = 0;
        for (int64_t part = 0; part < parts; ++part) total += copies[part * size + n];
        dx[n] = total;
      }
  }
}

template <typename T, bool TANGENT>
void gradient(const Problem<T>& q, const T* x, const T* y, const T* w, const T* g, const T* tx, const T* ty,
              const T* tw, T* dx, T* dy, T* dw, int threads) {
  if (dx) expect_writes(dx, sizeof(T) * q.nodes_in * q.dim_x);
  if (dw) expect_writes(dw, sizeof(T) * q.edges * q.dim_w);
  const Edges<T, TANGENT> edges(q, x, y, w, g, tx, ty, tw, dy, dw);
  // the copies are worth it where they are small beside the messages that are not kept
  if (q.source && q.destination && parts * q.nodes_in * q.dim_x <= q.edges * q.dim_z)
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

// sizes: edges, nodes_in, nodes_out, dim_x, dim_y, dim_z, dim_w, multiplicity slow. Null pointers: what is not given or not wanted.
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
