#include "protocol/version_vector.hpp"

#include <doctest/doctest.h>

#include <map>
#include <random>

using namespace troupe;

namespace {

constexpr origin a{{1}, 1}, b{{2}, 1}, b2{{2}, 2}, c{{3}, 7};

using naive = std::map<origin, std::uint64_t>;

version_vector vector_of(const naive& entries) {
  version_vector v;
  for (const auto& [from, seq] : entries)
    v.raise(from, seq);
  return v;
}

naive random_entries(std::mt19937& random) {
  naive entries;
  for (const auto& from : {a, b, b2, c})
    if (random() % 3 != 0) entries[from] = 1 + random() % 4;
  return entries;
}

} // namespace

TEST_CASE("a version vector says 0 of an origin that it does not know, and is raised only upwards") {
  version_vector v{{a, 3}};
  CHECK(v.at(a) == 3);
  CHECK(v.at(b) == 0);
  CHECK_FALSE(v.raise(a, 2));
  CHECK_FALSE(v.raise(b, 0));
  CHECK(v.size() == 1);
  CHECK(v.raise(b, 5));
  CHECK(v.covers({b, 5}));
  CHECK_FALSE(v.covers({b, 6}));
  CHECK_FALSE(v.covers({b2, 1}));
  CHECK(to_string(v) == "n1.1:3 n2.1:5");
}

TEST_CASE("join, meet and containment of version vectors are those of maps") {
  std::mt19937 random{7};
  for (int i = 0; i < 500; ++i) {
    const auto x = random_entries(random), y = random_entries(random);
    naive joined = x, met;
    bool contains = true;
    for (const auto& [from, seq] : y) {
      joined[from] = std::max(joined[from], seq);
      const auto here = x.find(from);
      if (here != x.end()) met[from] = std::min(here->second, seq);
      contains = contains && here != x.end() && here->second >= seq;
    }
    auto v = vector_of(x);
    const auto w = vector_of(y);
    CHECK(v.contains(w) == contains);
    CHECK(static_cast<bool>(first_missing(v, w)) != contains);
    auto lower = v;
    lower.meet(w);
    CHECK(lower == vector_of(met));
    CHECK(v.join(w) == !contains);
    CHECK(v == vector_of(joined));
    v.forget(w);
    for (const auto& e : v.entries())
      CHECK(e.seq > w.at(e.from));
  }
}

TEST_CASE("a version vector from the wire is what its entries join to, whatever their order") {
  v1::Vector wire;
  for (const auto& d : {dot{c, 4}, dot{a, 2}, dot{c, 9}, dot{b, 0}})
    to_wire(d, *wire.add_entries());
  const auto v = from_wire(wire);
  CHECK(v == version_vector{{a, 2}, {c, 9}});
  v1::Vector again;
  to_wire(v, again);
  CHECK(again.entries_size() == 2);
  CHECK(from_wire(again) == v);
}
