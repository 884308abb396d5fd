#include "protocol/limits.hpp"
#include "protocol/stream/resolver.hpp"

#include <algorithm>

namespace troupe {

namespace {

using registry = resolver_registry;

constexpr std::size_t id_bytes_max = 64;

/// SplitMix64: the same triples on every machine.
class sequence {
public:
  std::uint64_t next() {
    auto x = (state_ += 0x9E3779B97F4A7C15U);
    x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9U;
    x = (x ^ (x >> 27U)) * 0x94D049BB133111EBU;
    return x ^ (x >> 31U);
  }

private:
  std::uint64_t state_ = 0;
};

/// Short, of few letters: so that values are often equal, prefixes of each other, and in any order.
std::string short_string(std::uint64_t random) {
  constexpr std::string_view letters = "ab,019";
  std::string out;
  for (auto length = random % 5; length > 0; --length) {
    random /= 5;
    out += letters[random % letters.size()];
  }
  return out;
}

/// Nothing when it threw, or made something too large.
std::optional<std::string> call(const registry::function& merge, std::string_view a, std::string_view b) {
  try {
    auto out = merge(a, b);
    if (out.size() > limits::value_bytes_max) return std::nullopt;
    return out;
  } catch (...) {
    return std::nullopt;
  }
}

/// The first law that does not hold for the three.
std::optional<registry::broken> broken_by(const registry::function& merge, const std::string& a, const std::string& b,
                                          const std::string& c) {
  const auto refuse = [&](registry::law which, std::string left, std::string right) {
    return registry::broken{which, a, b, c, std::move(left), std::move(right)};
  };
  const auto aa = call(merge, a, a), ab = call(merge, a, b), ba = call(merge, b, a), bc = call(merge, b, c);
  if (!aa || !ab || !ba || !bc) return refuse(registry::law::totality, {}, {});
  if (*aa != a) return refuse(registry::law::idempotence, *aa, a);
  if (*ab != *ba) return refuse(registry::law::commutativity, *ab, *ba);
  const auto left = call(merge, *ab, c), right = call(merge, a, *bc);
  if (!left || !right) return refuse(registry::law::totality, {}, {});
  if (*left != *right) return refuse(registry::law::associativity, *left, *right);
  return std::nullopt;
}

} // namespace

std::string_view name_of(resolver_registry::law l) {
  switch (l) {
  case resolver_registry::law::idempotence:
    return "idempotence";
  case resolver_registry::law::commutativity:
    return "commutativity";
  case resolver_registry::law::associativity:
    return "associativity";
  case resolver_registry::law::totality:
    return "totality";
  }
  return "totality";
}

tl::expected<void, resolver_registry::refusal> resolver_registry::add(definition d) {
  if (d.id.empty() || d.id.size() > id_bytes_max || d.version == 0 || !d.merge || d.version <= version_of(d.id))
    return tl::unexpected<refusal>{errc::invalid_argument};
  if (!known_.contains(d.id) && known_.size() >= limits::resolvers_max)
    return tl::unexpected<refusal>{errc::overloaded};
  if (!d.example) d.example = short_string;
  sequence random;
  try {
    for (std::size_t i = 0; i < triples; ++i) {
      const auto a = d.example(random.next()), b = d.example(random.next()), c = d.example(random.next());
      if (auto found = broken_by(d.merge, a, b, c)) return tl::unexpected<refusal>{std::move(*found)};
    }
  } catch (...) {
    return tl::unexpected<refusal>{broken{.which = law::totality}};
  } // the generator
  auto id = d.id;
  known_.insert_or_assign(std::move(id), std::move(d));
  return {};
}

tl::expected<resolved, errc> resolver_registry::resolve(const std::string& id, const sibling_set& state) const {
  if (!known_.contains(id)) return tl::unexpected{errc::invalid_argument};
  auto out = troupe::resolve(resolver_kind::siblings, state);
  std::vector<std::string> values; // they come newest first
  for (auto i = out.items.rbegin(); i != out.items.rend(); ++i)
    values.push_back(std::move(i->value));
  out.items.clear();
  if (values.empty()) return out;
  auto merged = fold(id, values);
  if (!merged) return tl::unexpected{merged.error()};
  out.value = std::move(*merged);
  return out;
}

tl::expected<std::string, errc> resolver_registry::fold(const std::string& id,
                                                        const std::vector<std::string>& values) const {
  const auto known = known_.find(id);
  if (known == known_.end() || values.empty()) return tl::unexpected{errc::invalid_argument};
  auto out = values.front();
  for (std::size_t i = 1; i < values.size(); ++i) {
    auto merged = call(known->second.merge, out, values[i]);
    if (!merged) return tl::unexpected{errc::internal};
    out = std::move(*merged);
  }
  return out;
}

std::uint32_t resolver_registry::version_of(const std::string& id) const {
  const auto known = known_.find(id);
  return known == known_.end() ? 0 : known->second.version;
}

} // namespace troupe
