// Product of two functions on a grid, from coefficients to coefficients: to the grid, multiply, back.
//
//   z[k] = sum over points p of  back[p, k] (sum_i to1[p, i] x[i]) (sum_j to2[p, j] y[j])
//
// Lanes run over samples and channels. The values on the grid live in registers only: four points at a time, so that
// each load of a coefficient serves four of them.

#include <algorithm>

#include "common.hpp"

namespace intertwine {

constexpr int points_at_once = 4;

struct Sizes {
  int64_t batch, channels, points, dim1, dim2, dim3;
};

// The lanes `first ... first + lanes - 1` of a tensor (batch, dim, channels), as one vector a component.
template <typename T>
struct Columns {
  int64_t dim, channels, first;
  int lanes;

  bool whole() const { return lanes == width<T> && first / channels == (first + lanes - 1) / channels; }
  int64_t place(int lane, int64_t i) const {
    const int64_t column = first + lane;
    return (column / channels * dim + i) * channels + column % channels;
  }
  void read(const T* from, vec<T>* to) const {
    if (whole()) {
      for (int64_t i = 0; i < dim; ++i) to[i] = load<true>(from + place(0, i), lanes);
      return;
    }
    for (int64_t i = 0; i < dim; ++i) to[i] = zeros<T>();
    for (int lane = 0; lane < lanes; ++lane) {
      const T* column = from + place(lane, 0);
      for (int64_t i = 0; i < dim; ++i) to[i][lane] = column[i * channels];
    }
  }
  void write(const vec<T>* from, T* to) const {
    if (whole()) {
      for (int64_t i = 0; i < dim; ++i) store<true>(to + place(0, i), from[i], lanes);
      return;
    }
    for (int lane = 0; lane < lanes; ++lane) {
      T* column = to + place(lane, 0);
      for (int64_t i = 0; i < dim; ++i) column[i * channels] = from[i][lane];
    }
  }
};

// Tables are padded with zeros to a multiple of the points at once, and stored with these innermost.
template <typename T>
struct Table {
  int64_t dim, groups;
  std::vector<T> values;

  Table(const T* from, int64_t points, int64_t dim)
      : dim(dim), groups((points + points_at_once - 1) / points_at_once), values(groups * dim * points_at_once, T(0)) {
    for (int64_t p = 0; p < points; ++p)
      for (int64_t i = 0; i < dim; ++i)
        values[(p / points_at_once * dim + i) * points_at_once + p % points_at_once] = from[p * dim + i];
  }
  const T* group(int64_t n) const { return values.data() + n * dim * points_at_once; }

  void to_points(int64_t n, const vec<T>* x, vec<T>* u) const {
    const T* table = group(n);
    vec<T> sums[points_at_once];
    for (int p = 0; p < points_at_once; ++p) sums[p] = zeros<T>();
    for (int64_t i = 0; i < dim; ++i)
      for (int p = 0; p < points_at_once; ++p) sums[p] += table[i * points_at_once + p] * x[i];
    for (int p = 0; p < points_at_once; ++p) u[p] = sums[p];
  }
  void from_points(int64_t n, const vec<T>* u, vec<T>* x) const {
    const T* table = group(n);
    vec<T> values[points_at_once];
    for (int p = 0; p < points_at_once; ++p) values[p] = u[p];
    for (int64_t i = 0; i < dim; ++i) {
      vec<T> total = x[i];
      for (int p = 0; p < points_at_once; ++p) total += table[i * points_at_once + p] * values[p];
      x[i] = total;
    }
  }
};

// Null pointers: what is not given or not wanted. With a tangent (tx, ty) dx, dy and dz are tangents of the derivatives.
template <typename T, bool TANGENT>
void run(const Sizes& s, const T* to1, const T* to2, const T* back, const T* x, const T* y, const T* g, const T* tx,
         const T* ty, T* dx, T* dy, T* z, int threads) {
  const Table<T> one(to1, s.points, s.dim1), two(to2, s.points, s.dim2), three(back, s.points, s.dim3);
  const int64_t columns = s.batch * s.channels, blocks = (columns + width<T> - 1) / width<T>;
#pragma omp parallel num_threads(useful(threads, columns * s.points))
  {
    std::vector<vec<T>> memory(3 * s.dim1 + 3 * s.dim2 + 2 * s.dim3);
    vec<T>*a = memory.data(), *ta = a + s.dim1, *da = ta + s.dim1, *b = da + s.dim1, *tb = b + s.dim2, *db = tb + s.dim2,
    *grad = db + s.dim2, *out = grad + s.dim3;
#pragma omp for schedule(static)
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t first = block * width<T>;
      const int lanes = int(std::min<int64_t>(width<T>, columns - first));
      const Columns<T> c1{s.dim1, s.channels, first, lanes}, c2{s.dim2, s.channels, first, lanes},
          c3{s.dim3, s.channels, first, lanes};
      c1.read(x, a);
      c2.read(y, b);
      if (TANGENT && tx) c1.read(tx, ta);
      if (TANGENT && ty) c2.read(ty, tb);
      if (dx || dy) c3.read(g, grad);
      std::fill(da, da + s.dim1, zeros<T>());
      std::fill(db, db + s.dim2, zeros<T>());
      std::fill(out, out + s.dim3, zeros<T>());
      for (int64_t n = 0; n < one.groups; ++n) {
        vec<T> u[points_at_once], v[points_at_once], tu[points_at_once], tv[points_at_once], w[points_at_once],
            part[points_at_once];
        one.to_points(n, a, u);
        two.to_points(n, b, v);
        for (int p = 0; p < points_at_once; ++p) tu[p] = tv[p] = w[p] = zeros<T>();
        if (TANGENT && tx) one.to_points(n, ta, tu);
        if (TANGENT && ty) two.to_points(n, tb, tv);
        if (z) {
          for (int p = 0; p < points_at_once; ++p) part[p] = TANGENT ? tu[p] * v[p] + u[p] * tv[p] : u[p] * v[p];
          three.from_points(n, part, out);
        }
        if (dx || dy) three.to_points(n, grad, w);
        if (dx) {
          for (int p = 0; p < points_at_once; ++p) part[p] = w[p] * (TANGENT ? tv[p] : v[p]);
          one.from_points(n, part, da);
        }
        if (dy) {
          for (int p = 0; p < points_at_once; ++p) part[p] = w[p] * (TANGENT ? tu[p] : u[p]);
          two.from_points(n, part, db);
        }
      }
      if (z) c3.write(out, z);
      if (dx) c1.write(da, dx);
      if (dy) c2.write(db, dy);
    }
  }
}

}  // namespace intertwine

// sizes: batch, channels, points, dim1, dim2, dim3
#define GRID(T) const int64_t *sizes, const T *to1, const T *to2, const T *back, const T *x, const T *y
#define SIZES {sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], sizes[5]}
#define DEFINE(T, SUFFIX)                                                                                          \
  EXPORT void value_##SUFFIX(GRID(T), T* z, int threads) {                                                         \
    const intertwine::Sizes s SIZES;                                                                               \
    intertwine::run<T, false>(s, to1, to2, back, x, y, nullptr, nullptr, nullptr, nullptr, nullptr, z, threads);   \
  }                                                                                                                \
  EXPORT void gradient_##SUFFIX(GRID(T), const T* g, T* dx, T* dy, int threads) {                                  \
    const intertwine::Sizes s SIZES;                                                                               \
    intertwine::run<T, false>(s, to1, to2, back, x, y, g, nullptr, nullptr, dx, dy, nullptr, threads);             \
  }                                                                                                                \
  EXPORT void tangent_##SUFFIX(GRID(T), const T* g, const T* tx, const T* ty, T* dx, T* dy, T* dz, int threads) {  \
    const intertwine::Sizes s SIZES;                                                                               \
    intertwine::run<T, true>(s, to1, to2, back, x, y, g, tx, ty, dx, dy, dz, threads);                             \
  }

using std::int64_t;
DEFINE(float, f32)
DEFINE(double, f64)
