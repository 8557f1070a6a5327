// Polynomials of each channel's components, with coefficients that depend on the species of the atom.
//
//   z[a, o u] = sum over terms t that write o of  v[species(a), t u] * monomial_t(x[a, . u])
//
// A monomial is one of a degree less times a component. Lanes run over channels; a task is one block of lanes, one
// species and some of its atoms, so that coefficients stay in the cache and their derivatives are summed without locks.

#include <algorithm>

#include "common.hpp"

namespace intertwine {

struct Polynomial {
  const int64_t *species, *head, *last, *monomial, *out;  // head is -1 for single components; terms are sorted by out
  int64_t atoms, kinds, monomials, terms, dim_in, dim_out, channels;
};

struct Task {
  int64_t kind, first, last, part;  // places in the order of atoms; number of the chunk
};

struct Plan {
  Groups groups;
  std::vector<Task> tasks;
  int64_t chunks = 0;

  explicit Plan(const Polynomial& p) : groups(p.species, p.atoms, p.kinds) {
    const int64_t most = std::max<int64_t>(128, p.atoms / 64);  // does not depend on the threads: sums are repeatable
    for (int64_t kind = 0; kind < p.kinds; ++kind)
      for (int64_t place = groups.first(kind); place < groups.last(kind); place += most)
        tasks.push_back({kind, place, std::min(place + most, groups.last(kind)), chunks++});
  }
};

template <typename T, bool FULL>
struct Block {
  const Polynomial& p;
  int64_t u;
  int lanes;

  vec<T> get(const T* from, int64_t row) const { return load<FULL>(from + row * p.channels + u, lanes); }
  void put(T* to, int64_t row, vec<T> value) const { store<FULL>(to + row * p.channels + u, value, lanes); }

  void read(const T* x, int64_t atom, vec<T>* to) const {
    for (int64_t i = 0; i < p.dim_in; ++i) to[i] = get(x, atom * p.dim_in + i);
  }
  void raise(const vec<T>* x, vec<T>* m) const {
    for (int64_t n = 0; n < p.monomials; ++n) m[n] = p.head[n] < 0 ? x[p.last[n]] : m[p.head[n]] * x[p.last[n]];
  }
  void raise_tangent(const vec<T>* x, const vec<T>* tx, const vec<T>* m, vec<T>* tm) const {
    for (int64_t n = 0; n < p.monomials; ++n) {
      const int64_t head = p.head[n], last = p.last[n];
      tm[n] = head < 0 ? tx[last] : tm[head] * x[last] + m[head] * tx[last];
    }
  }
  // out = sum of v m, each output added up in a register
  void contract(const vec<T>* v, const vec<T>* m, const vec<T>* tv, const vec<T>* tm, T* z, int64_t atom) const {
    int64_t t = 0;
    for (int64_t o = 0; o < p.dim_out; ++o) {
      vec<T> total = zeros<T>();
      if (tm && tv)
        for (; t < p.terms && p.out[t] == o; ++t) total += v[t] * tm[p.monomial[t]] + tv[t] * m[p.monomial[t]];
      else
        for (; t < p.terms && p.out[t] == o; ++t) total += (tv ? tv : v)[t] * (tm ? tm : m)[p.monomial[t]];
      put(z, atom * p.dim_out + o, total);
    }
  }
};

// All that a thread keeps for one block of lanes.
template <typename T>
struct Scratch {
  std::vector<vec<T>> x, tx, m, tm, d, td, v, tv, dv, g, step;
  Scratch(const Polynomial& p, bool gradient, bool tangent)
      : x(p.dim_in), tx(tangent ? p.dim_in : 0), m(p.monomials), tm(tangent ? p.monomials : 0),
        d(gradient ? p.monomials : 0), td(gradient && tangent ? p.monomials : 0), v(p.terms), tv(tangent ? p.terms : 0),
        dv(gradient ? p.terms : 0), g(p.dim_out), step(p.dim_in) {}
};

template <typename T, bool FULL>
void value_task(const Polynomial& p, const Plan& plan, const Task& task, const T* x, const T* v, const T* tx,
                const T* tv, T* z, int64_t u, int lanes, Scratch<T>& s) {
  const Block<T, FULL> b{p, u, lanes};
  for (int64_t t = 0; t < p.terms; ++t) s.v[t] = b.get(v, task.kind * p.terms + t);
  if (tv)
    for (int64_t t = 0; t < p.terms; ++t) s.tv[t] = b.get(tv, task.kind * p.terms + t);
  for (int64_t place = task.first; place < task.last; ++place) {
    const int64_t atom = plan.groups.edge(place);
    b.read(x, atom, s.x.data());
    b.raise(s.x.data(), s.m.data());
    if (tx) {
      b.read(tx, atom, s.tx.data());
      b.raise_tangent(s.x.data(), s.tx.data(), s.m.data(), s.tm.data());
    }
    b.contract(s.v.data(), s.m.data(), tv ? s.tv.data() : nullptr, tx ? s.tm.data() : nullptr, z, atom);
  }
}

// Derivatives of sum(g z) by x and v; with a tangent their derivative along (tx, tv).
template <typename T, bool FULL, bool TANGENT>
void gradient_task(const Polynomial& p, const Plan& plan, const Task& task, const T* x, const T* v, const T* g,
                   const T* tx, const T* tv, T* dx, T* dv, int64_t u, int lanes, Scratch<T>& s) {
  const Block<T, FULL> b{p, u, lanes};
  for (int64_t t = 0; t < p.terms; ++t) {
    s.v[t] = b.get(v, task.kind * p.terms + t);
    if constexpr (TANGENT) s.tv[t] = tv ? b.get(tv, task.kind * p.terms + t) : zeros<T>();
    s.dv[t] = zeros<T>();
  }
  for (int64_t place = task.first; place < task.last; ++place) {
    const int64_t atom = plan.groups.edge(place);
    b.read(x, atom, s.x.data());
    b.raise(s.x.data(), s.m.data());
    if constexpr (TANGENT) {
      if (tx)
        b.read(tx, atom, s.tx.data());
      else
        std::fill(s.tx.begin(), s.tx.end(), zeros<T>());
      b.raise_tangent(s.x.data(), s.tx.data(), s.m.data(), s.tm.data());
      std::fill(s.td.begin(), s.td.end(), zeros<T>());
    }
    for (int64_t o = 0; o < p.dim_out; ++o) s.g[o] = b.get(g, atom * p.dim_out + o);
    std::fill(s.d.begin(), s.d.end(), zeros<T>());
    for (int64_t t = 0; t < p.terms; ++t) {
      const int64_t n = p.monomial[t];
      const vec<T> grad = s.g[p.out[t]];
      s.d[n] += s.v[t] * grad;
      if constexpr (TANGENT) {
        s.td[n] += s.tv[t] * grad;
        s.dv[t] += grad * s.tm[n];
      } else {
        s.dv[t] += grad * s.m[n];
      }
    }
    if (!dx) continue;
    std::fill(s.step.begin(), s.step.end(), zeros<T>());
    for (int64_t n = p.monomials - 1; n >= 0; --n) {
      const int64_t head = p.head[n], last = p.last[n];
      if (head < 0) {
        s.step[last] += TANGENT ? s.td[n] : s.d[n];
      } else if constexpr (TANGENT) {
        s.step[last] += s.td[n] * s.m[head] + s.d[n] * s.tm[head];
        s.td[head] += s.td[n] * s.x[last] + s.d[n] * s.tx[last];
        s.d[head] += s.d[n] * s.x[last];
      } else {
        s.step[last] += s.d[n] * s.m[head];
        s.d[head] += s.d[n] * s.x[last];
      }
    }
    for (int64_t i = 0; i < p.dim_in; ++i) b.put(dx, atom * p.dim_in + i, s.step[i]);
  }
  if (dv)
    for (int64_t t = 0; t < p.terms; ++t) b.put(dv, task.part * p.terms + t, s.dv[t]);
}

// Calls WORK<FULL> for every task and block of lanes.
template <typename T, typename Work>
void run(const Polynomial& p, const Plan& plan, bool gradient, bool tangent, int threads, Work work) {
  const int64_t blocks = (p.channels + width<T> - 1) / width<T>, jobs = blocks * int64_t(plan.tasks.size());
#pragma omp parallel num_threads(useful(threads, jobs * width<T> * p.terms))
  {
    Scratch<T> scratch(p, gradient, tangent);
#pragma omp for schedule(dynamic, 1)
    for (int64_t job = 0; job < jobs; ++job) {
      const int64_t u = job % blocks * width<T>;
      work(plan.tasks[job / blocks], u, int(std::min<int64_t>(width<T>, p.channels - u)), scratch);
    }
  }
}

template <typename T>
void value(const Polynomial& p, const Plan& plan, const T* x, const T* v, const T* tx, const T* tv, T* z, int threads) {
  run<T>(p, plan, false, tx || tv, threads, [&](const Task& task, int64_t u, int lanes, Scratch<T>& s) {
    if (lanes == width<T>)
      value_task<T, true>(p, plan, task, x, v, tx, tv, z, u, lanes, s);
    else
      value_task<T, false>(p, plan, task, x, v, tx, tv, z, u, lanes, s);
  });
}

template <typename T, bool TANGENT>
void gradient(const Polynomial& p, const Plan& plan, const T* x, const T* v, const T* g, const T* tx, const T* tv, T* dx,
              T* dv, int threads) {
  std::vector<T> parts(dv ? plan.chunks * p.terms * p.channels : 0);
  T* part = dv ? parts.data() : nullptr;
  run<T>(p, plan, true, TANGENT, threads, [&](const Task& task, int64_t u, int lanes, Scratch<T>& s) {
    if (lanes == width<T>)
      gradient_task<T, true, TANGENT>(p, plan, task, x, v, g, tx, tv, dx, part, u, lanes, s);
    else
      gradient_task<T, false, TANGENT>(p, plan, task, x, v, g, tx, tv, dx, part, u, lanes, s);
  });
  if (!dv) return;
  const int64_t size = p.terms * p.channels;
  std::fill(dv, dv + p.kinds * size, T(0));
  for (const Task& task : plan.tasks)
    for (int64_t n = 0; n < size; ++n) dv[task.kind * size + n] += part[task.part * size + n];
}

}  // namespace intertwine

// sizes: atoms, kinds, monomials, terms, dim_in, dim_out, channels. Null pointers: what is not given or not wanted.
// Returns 0, or 1 if a species has no coefficients.
#define POLYNOMIAL                                                                                                \
  const int64_t *species, const int64_t *head, const int64_t *last, const int64_t *monomial, const int64_t *out, \
      const int64_t *sizes
#define BEGIN                                                                                              \
  const intertwine::Polynomial p{species,  head,     last,     monomial, out,      sizes[0], sizes[1],     \
                                 sizes[2], sizes[3], sizes[4], sizes[5], sizes[6]};                        \
  if (!intertwine::inside(species, p.atoms, p.kinds)) return 1;                                            \
  const intertwine::Plan plan(p);
#define DEFINE(T, SUFFIX)                                                                                             \
  EXPORT int value_##SUFFIX(POLYNOMIAL, const T* x, const T* v, T* z, int threads) {                                  \
    BEGIN intertwine::value<T>(p, plan, x, v, nullptr, nullptr, z, threads);                                          \
    return 0;                                                                                                         \
  }                                                                                                                   \
  EXPORT int gradient_##SUFFIX(POLYNOMIAL, const T* x, const T* v, const T* g, T* dx, T* dv, int threads) {           \
    BEGIN intertwine::gradient<T, false>(p, plan, x, v, g, nullptr, nullptr, dx, dv, threads);                        \
    return 0;                                                                                                         \
  }                                                                                                                   \
  EXPORT int tangent_##SUFFIX(POLYNOMIAL, const T* x, const T* v, const T* g, const T* tx, const T* tv, T* dx, T* dv, \
                              T* dz, int threads) {                                                                   \
    BEGIN if (dx || dv) intertwine::gradient<T, true>(p, plan, x, v, g, tx, tv, dx, dv, threads);                     \
    if (dz) intertwine::value<T>(p, plan, x, v, tx, tv, dz, threads);                                                 \
    return 0;                                                                                                         \
  }

DEFINE(float, f32)
DEFINE(double, f64)
