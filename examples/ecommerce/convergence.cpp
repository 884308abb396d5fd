#include "examples/ecommerce/convergence.hpp"

#include "examples/ecommerce/pipeline.hpp"

#include <charconv>
#include <optional>
#include <thread>
#include <utility>

namespace shop {

namespace {

using clock = std::chrono::steady_clock;
using answer = troupe::result<std::optional<troupe::found>>;
using std::chrono::milliseconds;

constexpr std::chrono::seconds read_deadline{5};
constexpr std::chrono::seconds read_grace{2};
constexpr std::size_t reads_at_once = 512;
constexpr milliseconds pause{100};

struct what {
  std::string type;
  std::string key;
  friend auto operator<=>(const what&, const what&) = default;
};
/// By region; absent = it could not be read.
using readings = std::vector<std::optional<std::string>>;

std::string shown(const readings& all) {
  std::string text;
  for (const auto& one : all)
    text += (text.empty() ? "" : " / ") + one.value_or("not read");
  return text;
}

/// What is wrong, or nothing.
std::optional<std::string> finding_of(const what& one, const readings& all, const view_counts::of_item& views) {
  for (const auto& in_region : all)
    if (!in_region || *in_region != *all.front()) return one.type + " of " + one.key + " differ: " + shown(all);
  if (one.type != "views") return std::nullopt;
  const auto& text = *all.front();
  std::uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  if (number >= views.counted && number <= views.counted + views.maybe) return std::nullopt;
  return "views of " + one.key + " are " + std::to_string(number) + "; counted were " + std::to_string(views.counted)
         + ", unknown " + std::to_string(views.maybe);
}

void read_in(troupe::session& session, std::size_t region, std::map<what, readings>& open) {
  std::map<std::string, readings*> places;
  pipeline<std::optional<troupe::found>> reads{
      reads_at_once, read_deadline + read_grace, [&](const std::string& name, std::optional<answer> a) {
        auto& place = (*places.at(name))[region];
        place = a && *a ? std::optional{**a ? (**a)->value : std::string{}} : std::nullopt;
      }};
  for (auto& [one, all] : open) {
    const auto name = one.type + ":" + one.key;
    places.emplace(name, &all);
    reads.push(name, session.async().get(one.type, one.key, {.deadline = read_deadline}));
  }
  reads.drain();
}

} // namespace

convergence check_convergence(std::vector<troupe::session>& sessions,
                              const std::map<std::string, view_counts::of_item>& items, milliseconds at_most) {
  convergence out;
  std::map<what, readings> open;
  for (const auto& [item, views] : items)
    for (const auto* type : {"catalogue", "recommendations", "views"})
      open.emplace(what{type, item}, readings(sessions.size()));
  out.checked = open.size();
  const auto begin = clock::now();
  for (;;) {
    for (std::size_t region = 0; region < sessions.size(); ++region)
      read_in(sessions[region], region, open);
    out.findings.clear();
    for (auto i = open.begin(); i != open.end();) {
      const auto wrong = finding_of(i->first, i->second, items.at(i->first.key));
      if (wrong) out.findings.push_back(*wrong);
      i = wrong ? std::next(i) : open.erase(i);
    }
    if (open.empty() || clock::now() - begin > at_most) return out;
    std::this_thread::sleep_for(pause);
  }
}

} // namespace shop
