// Spherical harmonics by recursion over degrees: each component is a sum of products of one of a degree less with a
// component of the vector. Lanes run over vectors. There is no angle, and so no pole.
//
//   Y[to] = sum over terms of  value * Y[from] * r[axis],   Y[0] = 1;   what is written is scale[i] * Y[i]

#include <algorithm>

#include "common.hpp"

namespace intertwine {

struct Term {
  double from, axis, to, value;  // sorted by `to`
};

template <typename T>
struct Recursion {
  std::vector<int32_t> from, axis, to;
  std::vector<T> value, scale;
  int64_t vectors, dim;

  Recursion(const double* table, int64_t terms, const double* scales, int64_t vectors, int64_t dim)
      : scale(scales, scales + dim), vectors(vectors), dim(dim) {
    const Term* rows = reinterpret_cast<const Term*>(table);
    for (int64_t t = 0; t < terms; ++t) {
      from.push_back(int32_t(rows[t].from)), axis.push_back(int32_t(rows[t].axis));
      to.push_back(int32_t(rows[t].to)), value.push_back(T(rows[t].value));
    }
  }

  void raise(const vec<T>* r, vec<T>* y) const {
    std::fill(y, y + dim, zeros<T>());
    y[0] += T(1);
    for (std::size_t t = 0; t < to.size(); ++t) y[to[t]] += value[t] * y[from[t]] * r[axis[t]];
  }
  void raise_tangent(const vec<T>* r, const vec<T>* tr, const vec<T>* y, vec<T>* ty) const {
    std::fill(ty, ty + dim, zeros<T>());
    for (std::size_t t = 0; t < to.size(); ++t)
      ty[to[t]] += value[t] * (ty[from[t]] * r[axis[t]] + y[from[t]] * tr[axis[t]]);
  }
  // d holds the derivatives by all components and is used up; returns those by the vector.
  void lower(const vec<T>* r, const vec<T>* y, vec<T>* d, vec<T>* step) const {
    for (int64_t t = int64_t(to.size()) - 1; t >= 0; --t) {
      const vec<T> part = value[t] * d[to[t]];
      step[axis[t]] += part * y[from[t]];
      d[from[t]] += part * r[axis[t]];
    }
  }
  void lower_tangent(const vec<T>* r, const vec<T>* tr, const vec<T>* y, const vec<T>* ty, vec<T>* d, vec<T>* td,
                     vec<T>* step) const {
    for (int64_t t = int64_t(to.size()) - 1; t >= 0; --t) {
      const vec<T> part = value[t] * d[to[t]], tpart = value[t] * td[to[t]];
      step[axis[t]] += tpart * y[from[t]] + part * ty[from[t]];
      td[from[t]] += tpart * r[axis[t]] + part * tr[axis[t]];
      d[from[t]] += part * r[axis[t]];
    }
  }
};

// Rows of `dim` numbers to one vector of lanes a number, and back.
template <typename T>
void gather(const T* rows, int64_t dim, int lanes, vec<T>* to) {
  for (int64_t i = 0; i < dim; ++i) {
    vec<T> value = zeros<T>();
    for (int lane = 0; lane < lanes; ++lane) value[lane] = rows[lane * dim + i];
    to[i] = value;
  }
}

template <typename T>
void scatter(const vec<T>* from, int64_t dim, int lanes, const T* scale, T* rows) {
  for (int64_t i = 0; i < dim; ++i)
    for (int lane = 0; lane < lanes; ++lane) rows[lane * dim + i] = (scale ? scale[i] : T(1)) * from[i][lane];
}

template <typename T>
void run(const Recursion<T>& q, const T* r, const T* g, const T* tr, T* y, T* dr, T* dg, int threads) {
  const int64_t blocks = (q.vectors + width<T> - 1) / width<T>;
#pragma omp parallel num_threads(useful(threads, q.vectors * q.dim))
  {
    std::vector<vec<T>> store(4 * q.dim);
    vec<T> *value = store.data(), *tvalue = value + q.dim, *d = tvalue + q.dim, *td = d + q.dim;
#pragma omp for schedule(static)
    for (int64_t block = 0; block < blocks; ++block) {
      const int64_t row = block * width<T>;
      const int lanes = int(std::min<int64_t>(width<T>, q.vectors - row));
      vec<T> point[3], tangent[3], step[3] = {zeros<T>(), zeros<T>(), zeros<T>()};
      gather(r + 3 * row, 3, lanes, point);
      q.raise(point, value);
      if (y) scatter(value, q.dim, lanes, q.scale.data(), y + q.dim * row);
      if (tr) {
        gather(tr + 3 * row, 3, lanes, tangent);
        q.raise_tangent(point, tangent, value, tvalue);
        if (dg) scatter(tvalue, q.dim, lanes, q.scale.data(), dg + q.dim * row);
      }
      if (!dr) continue;
      gather(g + q.dim * row, q.dim, lanes, d);
      for (int64_t i = 0; i < q.dim; ++i) d[i] *= q.scale[i];
      if (tr) {
        std::fill(td, td + q.dim, zeros<T>());
        q.lower_tangent(point, tangent, value, tvalue, d, td, step);
      } else {
        q.lower(point, value, d, step);
      }
      scatter<T>(step, 3, lanes, nullptr, dr + 3 * row);
    }
  }
}

}  // namespace intertwine

// sizes: vectors, dim, terms
#define RECURSION const int64_t *sizes, const double *table, const double *scales
#define BEGIN(T) const intertwine::Recursion<T> q(table, sizes[2], scales, sizes[0], sizes[1]);
#define DEFINE(T, SUFFIX)                                                                                   \
  EXPORT void value_##SUFFIX(RECURSION, const T* r, T* y, int threads) {                                    \
    BEGIN(T) intertwine::run<T>(q, r, nullptr, nullptr, y, nullptr, nullptr, threads);                               \
  }                                                                                                         \
  EXPORT void gradient_##SUFFIX(RECURSION, const T* r, const T* g, T* dr, int threads) {                    \
    BEGIN(T) intertwine::run<T>(q, r, g, nullptr, nullptr, dr, nullptr, threads);                                    \
  }                                                                                                         \
  EXPORT void tangent_##SUFFIX(RECURSION, const T* r, const T* g, const T* tr, T* dr, T* dg, int threads) { \
    BEGIN(T) intertwine::run<T>(q, r, g, tr, nullptr, dr, dg, threads);                                              \
  }

using std::int64_t;
DEFINE(float, f32)
DEFINE(double, f64)
