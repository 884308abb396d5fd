#include "tests/support/lock_ledger.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cctype>
#include <map>
#include <sstream>
#include <stdexcept>

namespace troupe::test {

namespace {

constexpr std::array<const char*, 5> kinds{"held", "gave", "read", "wrote", "tried"};

std::string describe(const ledger_entry& e) {
  return e.owner + " under " + to_string(e.under) + " [" + std::to_string(e.begun) + ", " + std::to_string(e.ended)
         + "]";
}

} // namespace

token token_of(const std::string& printed) {
  token t;
  std::size_t part = 0;
  bool inside = false;
  for (const char c : printed) {
    const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
    if (digit && part < t.parts.size()) t.parts[part] = 10 * t.parts[part] + static_cast<std::uint64_t>(c - '0');
    if (inside && !digit) ++part;
    inside = digit;
  }
  return t;
}

std::string to_string(const token& t) {
  std::string text;
  for (const auto part : t.parts)
    text += (text.empty() ? "" : ".") + std::to_string(part);
  return text;
}

void write_entry(std::ostream& out, const ledger_entry& entry) {
  out << nlohmann::json{{"what", kinds.at(static_cast<std::size_t>(entry.what))},
                        {"owner", entry.owner},
                        {"under", to_string(entry.under)},
                        {"begun", entry.begun},
                        {"ended", entry.ended},
                        {"value", to_string(entry.value)},
                        {"error", entry.error}}
             .dump()
      << '\n'
      << std::flush;
}

std::vector<ledger_entry> read_ledger(std::istream& in) {
  std::ostringstream all;
  all << in.rdbuf();
  auto text = all.str();
  text.erase(text.rfind('\n') + 1);
  std::istringstream whole{text};
  std::vector<ledger_entry> entries;
  for (std::string line; std::getline(whole, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    const auto kind = std::find(kinds.begin(), kinds.end(), json.value("what", ""));
    if (!json.is_object() || kind == kinds.end()) throw std::runtime_error{"no entry of a ledger: " + line};
    entries.push_back({.what = static_cast<ledger_entry::kind>(kind - kinds.begin()),
                       .owner = json.at("owner"),
                       .under = token_of(json.at("under")),
                       .begun = json.at("begun"),
                       .ended = json.at("ended"),
                       .value = token_of(json.at("value")),
                       .error = json.at("error")});
  }
  return entries;
}

ledger_verdict judge(std::vector<ledger_entry> entries) {
  ledger_verdict verdict;
  auto problem = [&](std::string what) {
    if (verdict.problems.size() < 20) verdict.problems.push_back(std::move(what));
  };
  std::stable_sort(entries.begin(), entries.end(),
                   [](const ledger_entry& a, const ledger_entry& b) { return a.begun < b.begun; });

  // A renewal is one more entry of its grant, and lengthens it.
  std::map<token, ledger_entry> grants;
  for (const auto& e : entries) {
    if (e.what != ledger_entry::kind::held) continue;
    const auto [i, first] = grants.try_emplace(e.under, e);
    if (!first && i->second.owner != e.owner)
      problem("S5: one token for two: " + describe(i->second) + " and " + describe(e));
    if (!first) i->second.ended = std::max(i->second.ended, e.ended);
  }
  for (const auto& e : entries)
    if (const auto i = grants.find(e.under); e.what == ledger_entry::kind::gave && i != grants.end())
      i->second.ended = std::min(i->second.ended, e.begun);
  verdict.grants = grants.size();
  const ledger_entry* last = nullptr;
  for (const auto& [under, e] : grants) {
    if (last != nullptr && e.owner != last->owner) ++verdict.hand_overs;
    // By growing tokens: what begins before the former one has ended overlaps with it, or goes back in time.
    if (last != nullptr && e.begun < last->ended)
      problem("S5: " + describe(e) + " begins before " + describe(*last) + " has ended");
    if (last == nullptr || e.ended > last->ended) last = &e;
  }

  std::map<token, token> seen; // under a grant: what was found in the key, or written, last
  for (const auto& e : entries) {
    if (e.what == ledger_entry::kind::held || e.what == ledger_entry::kind::gave) continue;
    const auto grant = grants.find(e.under);
    if (grant == grants.end()) {
      problem("nobody was granted what " + describe(e) + " acts under");
      continue;
    }
    const bool late = e.begun > grant->second.ended;
    if (e.what == ledger_entry::kind::tried) {
      verdict.late_writes_refused += late ? 1 : 0;
    } else if (e.what == ledger_entry::kind::wrote) {
      ++verdict.writes;
      if (late) problem("S4: a write succeeded that began after its owner's time: " + describe(e));
      seen[e.under] = e.under;
    } else if (e.ended <= grant->second.ended) { // else a newer grant may have been answered by then
      const auto [i, first] = seen.try_emplace(e.under, e.value);
      if (e.value > e.under) problem("S5: " + describe(e) + " finds the later token " + to_string(e.value));
      const bool own = e.value == e.under; // an attempt that nobody knew of
      if (!first && e.value != i->second && !own)
        problem("S4: " + describe(e) + " finds " + to_string(e.value) + " where it had found "
                + to_string(i->second));
      i->second = e.value;
    }
  }
  return verdict;
}

} // namespace troupe::test
