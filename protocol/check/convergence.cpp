#include "protocol/check/convergence.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <set>
#include <unordered_map>

namespace troupe::check {

namespace {

enum class use : std::uint8_t { reg, counter, set };

std::optional<use> use_of(op_kind kind) {
  switch (kind) {
  case op_kind::get:
  case op_kind::put:
  case op_kind::cas:
  case op_kind::remove:
    return use::reg;
  case op_kind::incr:
  case op_kind::add:
  case op_kind::count:
    return use::counter;
  case op_kind::set_add:
  case op_kind::set_remove:
  case op_kind::members:
    return use::set;
  default:
    return std::nullopt;
  }
}

bool reads(op_kind kind) { return kind == op_kind::get || kind == op_kind::count || kind == op_kind::members; }

std::string where(const history& all, std::uint32_t i) {
  const auto& op = all.operations[i];
  return op.line == 0 ? "operation " + std::to_string(i + 1) : "line " + std::to_string(op.line);
}

std::string text_of(const std::vector<std::string>& members) {
  std::string text = "{";
  for (const auto& m : members)
    text += (text.size() > 1 ? ", " : "") + m;
  return text + "}";
}

/// What a final read says.
std::string answer_of(const operation& op) {
  if (op.kind == op_kind::members) {
    auto members = op.members.value_or(std::vector<std::string>{});
    std::sort(members.begin(), members.end());
    return text_of(members);
  }
  return op.value.value_or("nothing");
}

struct key_uses {
  use as = use::reg;
  std::vector<std::uint32_t> writes; ///< not failed
  std::vector<std::uint32_t> finals;
};

class key_judge {
public:
  key_judge(const history& all, const key_uses& key) : all_{all}, key_{key} {}

  std::optional<divergence> refute() const {
    const auto first = key_.finals.front();
    for (const auto i : key_.finals)
      if (!same(at(i), at(first)))
        return divergence{{first, i},
                          where(all_, i) + " says " + answer_of(at(i)) + " of " + at(i).key + ", where "
                              + where(all_, first) + " says " + answer_of(at(first)) + "."};
    switch (key_.as) {
    case use::reg:
      return wrong_value(first);
    case use::counter:
      return wrong_count(first);
    case use::set:
      return wrong_members(first);
    }
    return std::nullopt;
  }

private:
  const operation& at(std::uint32_t i) const { return all_.operations[i]; }

  static bool same(const operation& a, const operation& b) {
    if (a.kind != op_kind::members) return a.value == b.value;
    return answer_of(a) == answer_of(b);
  }
  bool sure(std::uint32_t i) const { return at(i).outcome == op_outcome::ok && at(i).applied.value_or(true); }
  bool possible(std::uint32_t i) const { return at(i).applied.value_or(true); }

  std::optional<divergence> wrong_value(std::uint32_t read) const {
    const auto& value = at(read).value;
    auto any = [&](auto&& what) { return std::find_if(key_.writes.begin(), key_.writes.end(), what); };
    if (value) {
      if (any([&](std::uint32_t w) { return possible(w) && at(w).kind != op_kind::remove && at(w).value == value; })
          != key_.writes.end())
        return std::nullopt;
      return divergence{
          {read}, where(all_, read) + " says " + *value + " of " + at(read).key + ", which nobody has put there."};
    }
    if (any([&](std::uint32_t w) { return at(w).kind == op_kind::remove; }) != key_.writes.end()) return std::nullopt;
    const auto put = any([&](std::uint32_t w) { return sure(w); });
    if (put == key_.writes.end()) return std::nullopt;
    return divergence{{*put, read},
                      where(all_, read) + " finds nothing at " + at(read).key + ", although " + where(all_, *put)
                          + " has put something there, and nobody has deleted it."};
  }

  std::optional<divergence> wrong_count(std::uint32_t read) const {
    const auto text = at(read).value.value_or("0");
    std::int64_t count = 0;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (wrong != std::errc{} || end != text.data() + text.size())
      return divergence{{read},
                        where(all_, read) + " says " + text + " of " + at(read).key + ", which is no number."};
    std::int64_t total = 0;
    std::map<std::int64_t, std::size_t> open; // deltas that may count, and how often
    std::vector<std::uint32_t> all_of_it;
    for (const auto w : key_.writes) {
      if (!possible(w)) continue;
      all_of_it.push_back(w);
      const auto delta = at(w).delta.value_or(0);
      if (sure(w))
        total += delta;
      else
        ++open[delta];
    }
    if (may_be(count - total, open)) return std::nullopt;
    all_of_it.push_back(read);
    return divergence{std::move(all_of_it), where(all_, read) + " says " + text + " of " + at(read).key
                                                + "; what was " + "surely added is " + std::to_string(total)
                                                + ", and nothing of what may have been makes up the difference."};
  }

  /// Whether some of the deltas have this sum. Beyond a bound of sums it is not refuted.
  static bool may_be(std::int64_t wanted, const std::map<std::int64_t, std::size_t>& open) {
    constexpr std::size_t sums_max = 1'000'000;
    std::set<std::int64_t> sums{0};
    for (const auto& [delta, times] : open) {
      std::set<std::int64_t> next;
      for (const auto sum : sums)
        for (std::size_t n = 0; n <= times; ++n)
          next.insert(sum + static_cast<std::int64_t>(n) * delta);
      sums = std::move(next);
      if (sums.size() > sums_max) return true;
    }
    return sums.contains(wanted);
  }

  std::optional<divergence> wrong_members(std::uint32_t read) const {
    const auto listed = at(read).members.value_or(std::vector<std::string>{});
    const std::set<std::string> there(listed.begin(), listed.end());
    std::set<std::string> tried, removed;
    for (const auto w : key_.writes)
      (at(w).kind == op_kind::set_add ? tried : removed).insert(at(w).value.value_or(""));
    for (const auto& element : there)
      if (!tried.contains(element))
        return divergence{
            {read}, where(all_, read) + " has " + element + " in " + at(read).key + ", which nobody has added."};
    for (const auto w : key_.writes) {
      const auto element = at(w).value.value_or("");
      if (at(w).kind == op_kind::set_add && sure(w) && !removed.contains(element) && !there.contains(element))
        return divergence{{w, read},
                          where(all_, read) + " has no " + element + " in " + at(read).key + ", although "
                              + where(all_, w) + " has added it, and nobody has removed it."};
    }
    return std::nullopt;
  }

  const history& all_;
  const key_uses& key_;
};

} // namespace

tl::expected<convergence_report, parse_error> check_convergence(const history& all) {
  convergence_report report{.operations = all.operations.size()};
  std::vector<key_uses> keys;
  std::unordered_map<std::string, std::size_t> places;
  for (std::uint32_t i = 0; i < all.operations.size(); ++i) {
    const auto& op = all.operations[i];
    report.unknowns += op.outcome == op_outcome::unknown ? 1 : 0;
    report.failed += op.outcome == op_outcome::fail ? 1 : 0;
    const auto as = use_of(op.kind);
    if (!as)
      return tl::unexpected(parse_error{op.line, std::string{to_string(op.kind)}
                                                     + ": convergence is judged of registers, counters and sets"});
    if (op.final && !reads(op.kind))
      return tl::unexpected(
          parse_error{op.line, std::string{to_string(op.kind)} + " is no read, and cannot be final"});
    const auto [place, fresh] = places.try_emplace(op.key, keys.size());
    if (fresh) keys.push_back({.as = *as, .writes = {}, .finals = {}});
    auto& key = keys[place->second];
    if (key.as != *as)
      return tl::unexpected(parse_error{op.line, "key " + op.key
                                                     + " is used in two ways: " + std::string{to_string(op.kind)}
                                                     + " does not go with what was done to it before"});
    if (op.outcome == op_outcome::fail) continue;
    if (!reads(op.kind)) {
      key.writes.push_back(i);
    } else if (op.final && op.outcome == op_outcome::ok) {
      key.finals.push_back(i);
      ++report.final_reads;
    }
  }
  if (report.final_reads == 0)
    return tl::unexpected(parse_error{0, "no read is marked final: nothing says what the replicas hold in the end"});
  for (const auto& key : keys) {
    if (key.finals.empty()) continue;
    ++report.keys;
    if (!report.refutation) report.refutation = key_judge{all, key}.refute();
  }
  if (report.refutation) report.result = verdict::no;
  return report;
}

} // namespace troupe::check
