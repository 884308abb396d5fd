#include "protocol/membership.hpp"

#include "protocol/greeting.hpp"

#include <algorithm>
#include <iomanip>
#include <set>
#include <sstream>
#include <utility>

namespace troupe {

namespace {

/// Renewals are sent every quarter of a lease; an answer older than four leases extends nothing.
constexpr std::size_t rounds_kept = 16;

/// Of what one side has: both must find room on the line that is shown.
constexpr std::size_t shown_max = 400;

/// The words of a description; of "nodes=a(1,eu),b(2,eu)" each entry is one: "nodes=a(1,eu)", "nodes=b(2,eu)".
std::set<std::string> words_of(const std::string& text) {
  std::set<std::string> words;
  std::istringstream in{text};
  for (std::string list; in >> list;) {
    const auto label = list.substr(0, list.find('=') + 1); // empty when there is none
    auto entry = label;
    int depth = 0;
    for (const char c : std::string_view{list}.substr(label.size())) {
      depth += c == '(' ? 1 : c == ')' ? -1 : 0;
      if (c != ',' || depth > 0) {
        entry += c;
        continue;
      }
      words.insert(std::exchange(entry, label));
    }
    words.insert(std::move(entry));
  }
  return words;
}

/// The words of `text` that `other` lacks; empty when there are none.
std::string difference(const std::string& text, const std::string& other) {
  const auto theirs = words_of(other);
  std::string found;
  for (const auto& word : words_of(text))
    if (!theirs.contains(word)) found += (found.empty() ? "" : " ") + word;
  return found;
}

/// As the log writes a disk id.
std::string disk_text(std::uint64_t disk) {
  std::ostringstream out;
  out << std::hex << std::setw(16) << std::setfill('0') << disk;
  return out.str();
}

} // namespace

membership::membership(membership_options options)
    : options_{std::move(options)},
      configuration_text_{options_.shape.describe()},
      configuration_{options_.shape.hash()} {
  const auto* self = options_.shape.find(options_.self);
  name_ = self != nullptr ? self->name : "a client node";
  for (std::uint32_t s = 0; s < options_.shape.shards; ++s)
    for (auto r : replica_set(options_.shape, {s}))
      shards_of_[r].push_back({s});
}

membership::verdict membership::admit(const v1::Hello& hello, effects& out) {
  const auto& mine = options_.shape;
  auto both = [&](std::string_view what, const std::string& theirs, const std::string& ours) {
    return std::string{what} + ": " + shown_name(hello) + " has " + one_line(theirs, shown_max) + ", " + name_
           + " has " + one_line(ours, shown_max);
  };
  if (hello.protocol() != protocol_version)
    return {errc::wrong_protocol,
            both("protocol version", std::to_string(hello.protocol()), std::to_string(protocol_version))};
  if (hello.cluster() != mine.name)
    return {errc::wrong_cluster, both("cluster", "\"" + hello.cluster() + "\"", "\"" + mine.name + "\"")};
  if (hello.configuration() != configuration_) {
    auto theirs = difference(hello.configuration_text(), configuration_text_);
    auto ours = difference(configuration_text_, hello.configuration_text());
    if (theirs.empty() && ours.empty()) { // the words do not tell the two apart
      theirs = "hash " + std::to_string(hello.configuration());
      ours = "hash " + std::to_string(configuration_);
    }
    auto shown = [](std::string& words) { return words.empty() ? "nothing of that" : std::move(words); };
    return {errc::wrong_configuration, both("configuration", shown(theirs), shown(ours))};
  }
  const node_id who{hello.node()};
  if (is_client(who)) return {};
  const auto* listed = mine.find(who);
  if (listed == nullptr || who == options_.self)
    return {errc::wrong_configuration,
            both("node id", to_string(who), to_string(options_.self) + " and a list without it")};
  auto known = options_.remembered_disks.find(who);
  if (known == options_.remembered_disks.end()) {
    if (hello.disk() == 0) return {errc::foreign_disk, "node " + listed->name + " has no disk id"};
    options_.remembered_disks.emplace(who, hello.disk());
    out.emplace_back(remember{who, hello.disk()});
  } else if (known->second != hello.disk()) {
    return {errc::foreign_disk, both("disk of " + listed->name, disk_text(hello.disk()),
                                     "remembered " + disk_text(known->second)
                                         + "; a node whose disk was lost must not come back under the same id")};
  }
  return {};
}

void membership::start(instant now) {
  if (!is_client(options_.self)) next_ = now;
}

void membership::peer(node_id who, incarnation life, bool connected, instant, effects& out) {
  asked_.erase(who); // answers to what an old connection carried do not come any more
  if (connected ? !present_.insert(who).second : present_.erase(who) == 0) return;
  out.emplace_back(presence{who, life, connected});
}

void membership::lead(shard_id shard, const epoch& era) { led_[shard] = era; }

void membership::unlead(shard_id shard, const epoch& era) {
  if (auto i = led_.find(shard); i != led_.end() && i->second == era) led_.erase(i);
}

void membership::tick(instant now, effects& out) {
  if (now < next_) return;
  next_ = now + nanoseconds{options_.shape.lease} / 4;
  if (led_.empty()) return;
  for (const auto& [replica, shards] : shards_of_) {
    if (replica != options_.self && !present_.contains(replica)) continue;
    send s{.to = replica, .envelope = {}};
    auto& renew = *s.envelope.mutable_renew_leases();
    renew.set_number(++numbers_);
    renew.set_lease_ms(static_cast<std::uint64_t>(options_.shape.lease.count()));
    round asked{.sent_at = now, .leases = {}};
    for (auto shard : shards) {
      auto led = led_.find(shard);
      if (led == led_.end()) continue;
      auto& one = *renew.add_leases();
      one.set_shard(shard.value);
      to_wire(led->second, *one.mutable_epoch());
      asked.leases.emplace_back(shard, led->second);
    }
    if (asked.leases.empty()) continue;
    auto& open = asked_[replica];
    open.emplace(numbers_, std::move(asked));
    if (open.size() > rounds_kept) open.erase(open.begin());
    out.emplace_back(std::move(s));
  }
}

void membership::receive(node_id from, const v1::LeasesRenewed& answer, instant, effects& out) {
  auto open = asked_.find(from);
  if (open == asked_.end()) return;
  auto asked = open->second.find(answer.number());
  if (asked == open->second.end()) return;
  std::map<shard_id, epoch> superseded;
  for (const auto& s : answer.superseded())
    superseded[{s.shard()}] = from_wire(s.epoch());
  const std::set<std::uint32_t> pending(answer.pending().begin(), answer.pending().end());
  for (const auto& [shard, era] : asked->second.leases) {
    if (pending.contains(shard.value)) continue;
    auto higher = superseded.find(shard);
    out.emplace_back(
        renewed{shard, era, from, asked->second.sent_at, higher == superseded.end() ? epoch{} : higher->second});
  }
  open->second.erase(asked);
}

} // namespace troupe
