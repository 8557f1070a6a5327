// One channel-wise product: its paths, its edges, and how the couplings meet the harmonics of an edge.

#pragma once

#include <algorithm>

#include "layout.hpp"

namespace intertwine {

struct Path {
  int64_t x, dim1, y, dim2, z, dim3, w, channels, first, last;  // offsets in rows; range of coefficients
};

struct Coefficient {
  double i, j, k, value;
};

// Whether blocks (offset, length) hold every number of a row exactly once.
inline bool tiles(const std::vector<std::pair<int64_t, int64_t>>& blocks, int64_t row) {
  std::vector<char> seen(row, 0);
  int64_t total = 0;
  for (const auto& [offset, length] : blocks)
    for (int64_t n = offset; n < offset + length; ++n, ++total)
      if (seen[n]++) return false;
  return total == row;
}

template <typename T>
struct Problem {
  const Path* paths;
  int64_t count;
  const Coefficient* coefficients;
  int64_t edges, nodes_in, nodes_out, dim_x, dim_y, dim_z, dim_w;
  const int64_t *source, *destination;
  bool slow;  // rows of x and z have the multiplicity slow; only without source and destination
  bool outputs_once, weights_once;  // every number of a row of z, of w, belongs to exactly one path
  bool inputs_whole;  // every number of a row of x belongs to a path
  std::vector<const Path*> blocks;  // one path for each block of x
  std::vector<int64_t> place;  // of the matrix M[i, k] of each path in a row of matrices, in numbers
  int64_t matrices = 0, largest = 0;
  std::vector<vec<T>> couplings;  // path by path: for each j the coefficients of all (i, k), filled up to whole vectors
  struct Term {
    int32_t ik;
    T value;
  };
  std::vector<Term> terms;  // of each path, ordered by j
  std::vector<int32_t> ends;  // path by path, for each j: where its terms end

  void prepare() {
    std::vector<std::pair<int64_t, int64_t>> outputs, weights;
    for (const Path* p = paths; p < paths + count; ++p) {
      const int64_t vectors = whole_vectors<T>(p->dim1 * p->dim3), start = couplings.size();
      place.push_back(matrices);
      matrices += vectors * width<T>;
      largest = std::max({largest, p->dim1 * p->dim3, p->dim1 * p->channels, p->dim3 * p->channels});
      const auto same = [&](const Path* b) { return b->x == p->x && b->dim1 * b->channels == p->dim1 * p->channels; };
      if (std::none_of(blocks.begin(), blocks.end(), same)) blocks.push_back(p);
      couplings.resize(start + vectors * p->dim2, zeros<T>());
      for (int64_t j = 0; j < p->dim2; ++j) {
        T* row = numbers<T>(couplings.data() + start + j * vectors);
        for (int64_t n = p->first; n < p->last; ++n) {
          const Coefficient& c = coefficients[n];
          if (int64_t(c.j) != j) continue;
          const int32_t ik = int32_t(c.i * p->dim3 + c.k);
          row[ik] = T(c.value);
          terms.push_back({ik, T(c.value)});
        }
        ends.push_back(int32_t(terms.size()));
      }
      outputs.emplace_back(p->z, p->dim3 * p->channels);
      weights.emplace_back(p->w, p->channels);
    }
    std::vector<std::pair<int64_t, int64_t>> inputs;
    for (const Path* p : blocks) inputs.emplace_back(p->x, p->dim1 * p->channels);
    inputs_whole = tiles(inputs, dim_x);
    outputs_once = tiles(outputs, dim_z);
    weights_once = tiles(weights, dim_w);
  }
  // Numbers that a pass over all edges reads and writes.
  int64_t numbers_moved() const { return edges * (dim_x + dim_w + dim_z); }
  bool sound() const { return inside(source, edges, nodes_in) && inside(destination, edges, nodes_out); }
  // Whether an output with these rows is larger than what caches keep, and every block of it whole vectors.
  bool streams(const T* output, int64_t row, int64_t Path::*block) const {
    const auto whole = [&](const Path& p) { return p.*block % width<T> == 0 && p.channels % width<T> == 0; };
    return std::size_t(edges) * row * sizeof(T) >= (std::size_t(8) << 20) && aligned(output) && row % width<T> == 0 &&
           std::all_of(paths, paths + count, whole);
  }
  template <bool FAST>
  void convert_x(const T* from, T* to) const {
    for (const Path* p : blocks) convert<FAST>(from + p->x, to + p->x, p->dim1, p->channels);
  }
  // m = the matrices M[i, k] = sum_j C[i, j, k] y[j] of all paths.
  void fill(const T* y, T* m) const {
    const vec<T>* table = couplings.data();
    for (int64_t p = 0; p < count; ++p) {
      const int64_t vectors = whole_vectors<T>(paths[p].dim1 * paths[p].dim3), dim2 = paths[p].dim2;
      for (int64_t v = 0; v < vectors; ++v) {
        vec<T> total = table[v] * y[paths[p].y];
        for (int64_t j = 1; j < dim2; ++j) total += table[j * vectors + v] * y[paths[p].y + j];
        store<true>(m + place[p] + v * width<T>, total, width<T>);
      }
      table += vectors * dim2;
    }
  }
  // steps[j] += sum over i, k of C[i, j, k] outer[i, k] of one path, lane by lane; `end` and `term` run on from path
  // to path.
  void contract(const Path& p, const vec<T>* outer, vec<T>* steps, const int32_t*& end, int32_t& term) const {
    for (int64_t j = 0; j < p.dim2; ++j, ++end) {
      vec<T> total = zeros<T>();
      for (; term < *end; ++term) total += terms[term].value * outer[terms[term].ik];
      steps[p.y + j] += total;
    }
  }
};

}  // namespace intertwine
