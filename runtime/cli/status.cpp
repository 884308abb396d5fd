/// troupe status: what a node says about itself, for people.
#include "runtime/cli/admin_client.hpp"
#include "runtime/cli/commands.hpp"
#include "runtime/cli/table.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace troupe::cli {

namespace {

using nlohmann::json;

std::uint64_t number(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number() ? found->get<std::uint64_t>() : 0;
}

std::string text(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::uint64_t round_of(const std::string& epoch) { return std::strtoull(epoch.c_str(), nullptr, 10); }

/// The shards with one home, as this node sees them.
struct home_summary {
  std::uint64_t shards = 0;
  std::uint64_t claiming = 0;
  std::string first_epoch;
  std::string last_epoch;
  std::uint64_t lease_left_ms = UINT64_MAX; ///< the shortest; of shards that this node leads
  std::uint64_t keys = 0, read_locks = 0, queued = 0, undecided = 0, in_doubt = 0, committed = 0;
};

void add_shard(home_summary& home, const json& shard) {
  const auto epoch = text(shard, "epoch");
  if (home.shards++ == 0 || round_of(epoch) < round_of(home.first_epoch)) home.first_epoch = epoch;
  if (home.shards == 1 || round_of(epoch) > round_of(home.last_epoch)) home.last_epoch = epoch;
  if (shard.value("claiming", false)) ++home.claiming;
  if (shard.value("leading", false))
    home.lease_left_ms = std::min(home.lease_left_ms, number(shard, "lease_left_ms"));
  home.keys += number(shard, "keys");
  home.read_locks += number(shard, "read_locks");
  home.queued += number(shard, "queued");
  home.undecided += number(shard, "undecided");
  home.in_doubt += number(shard, "in_doubt");
  home.committed += number(shard, "committed");
}

void print_homes(const json& status, std::ostream& out) {
  std::map<std::string, home_summary> homes;
  for (const auto& shard : status.value("shards", json::array()))
    add_shard(homes[text(shard, "home")], shard);
  if (homes.empty()) return;
  table rows{{"home", "shards", "claiming", "epochs", "lease left", "keys", "read locks", "queued", "undecided",
              "in doubt", "committed"}};
  for (const auto& [name, home] : homes) {
    const auto epochs =
        home.first_epoch == home.last_epoch ? home.first_epoch : home.first_epoch + " .. " + home.last_epoch;
    rows.add({name.empty() ? "(none)" : name, std::to_string(home.shards), std::to_string(home.claiming), epochs,
              home.lease_left_ms == UINT64_MAX ? "-" : std::to_string(home.lease_left_ms) + " ms",
              std::to_string(home.keys), std::to_string(home.read_locks), std::to_string(home.queued),
              std::to_string(home.undecided), std::to_string(home.in_doubt), std::to_string(home.committed)});
  }
  rows.print(out << "\n");
}

/// The named locks whose homes this node is: one row per owner, and one for those that only wait.
void print_locks(const json& status, std::ostream& out) {
  const auto locks = status.value("locks", json::array());
  if (locks.empty()) return;
  table rows{{"named lock", "owner", "mode", "left", "waiting"}};
  for (const auto& lock : locks) {
    const auto waiting = std::to_string(number(lock, "waiting"));
    const auto owners = lock.value("owners", json::array());
    if (owners.empty()) rows.add({text(lock, "lock"), "-", "-", "-", waiting});
    for (const auto& owner : owners) {
      const auto left = number(owner, "remaining_ms");
      rows.add({text(lock, "lock"), text(owner, "owner"), owner.value("shared", false) ? "shared" : "exclusive",
                left == 0 ? "over" : std::to_string(left) + " ms", waiting});
    }
  }
  rows.print(out << "\n");
}

void print_links(const json& status, std::ostream& out) {
  const auto links = status.value("links", json::array());
  if (links.empty()) return;
  table rows{
      {"link", "up", "round trip", "worst", "queued", "sent", "received", "refused", "dropped", "connections"}};
  for (const auto& link : links)
    rows.add({text(link, "name"), link.value("up", false) ? "yes" : "no",
              std::to_string(number(link, "round_trip_us")) + " us",
              std::to_string(number(link, "round_trip_us_max")) + " us",
              std::to_string(number(link, "queued_messages")), std::to_string(number(link, "frames_sent")),
              std::to_string(number(link, "frames_received")), std::to_string(number(link, "frames_refused")),
              std::to_string(number(link, "dropped_messages")), std::to_string(number(link, "connections"))});
  rows.print(out << "\n");
  for (const auto& link : links)
    if (const auto why = text(link, "last_refusal"); !why.empty())
      out << "  " << text(link, "name") << ": refused: " << why << "\n";
}

void print_memory(const json& status, std::ostream& out) {
  const auto memory = status.find("memory");
  if (memory == status.end() || !memory->is_object()) return;
  out << "\n  memory: " << number(*memory, "hits") << " hits, " << number(*memory, "misses") << " misses, "
      << number(*memory, "entries") << " entries in " << number(*memory, "bytes") << " of "
      << number(*memory, "bytes_max") << " bytes, " << number(*memory, "leases") << " leases held\n";
}

void print_view(const json& status, std::ostream& out) {
  const auto view = status.find("view");
  if (view == status.end() || !view->is_object()) return;
  out << "\n  view " << number(*view, "number") << ", this start has life " << number(*view, "life") << ":";
  for (const auto& member : view->value("nodes", json::array()))
    out << " " << text(member, "name") << "." << number(member, "life")
        << (member.value("out", false) ? " (out)" : "");
  out << "\n";
}

/// Of the weaker levels: who has not got what, and what waits for it.
void print_streams(const json& status, std::ostream& out) {
  const auto streams = status.find("streams");
  if (streams == status.end() || !streams->is_object()) return;
  table managers{{"level", "open", "done", "not done", "unknown", "retries", "forwards", "restarts", "waits"}};
  for (const auto& m : streams->value("managers", json::array()))
    managers.add({text(m, "level"), std::to_string(number(m, "open")), std::to_string(number(m, "done")),
                  std::to_string(number(m, "not_done")), std::to_string(number(m, "unknown")),
                  std::to_string(number(m, "retries")), std::to_string(number(m, "forwards")),
                  std::to_string(number(m, "restarts")), std::to_string(number(m, "waits"))});
  managers.print(out << "\n");
  if (const auto peers = streams->find("peers"); peers != streams->end() && !peers->empty()) {
    table rows{{"stream", "up", "behind ordered", "behind free", "queued bytes", "sent", "received", "cut"}};
    for (const auto& p : *peers)
      rows.add({text(p, "peer"), p.value("up", false) ? "yes" : "no", std::to_string(number(p, "behind_ordered")),
                std::to_string(number(p, "behind_free")), std::to_string(number(p, "queued_bytes")),
                std::to_string(number(p, "sent")), std::to_string(number(p, "received")),
                p.value("cut", false) ? "yes" : "no"});
    rows.print(out << "\n");
  }
  if (const auto replica = streams->find("replica"); replica != streams->end()) {
    if (const auto from = text(*replica, "copying_from"); !from.empty())
      out << "\n  copies records from " << from << ": its log does not reach this node any more\n";
    if (replica->value("closed_until_copied", false))
      out << "\n  causal and session types are left to other replicas until what was copied is whole\n";
    if (const auto damaged = number(*replica, "damaged_keys"); damaged > 0)
      out << "\n  " << damaged << " records are damaged; other replicas are asked for them\n";
  }
  if (const auto frontier = streams->find("frontier"); frontier != streams->end()) {
    out << "\n  frontier: shows " << text(*frontier, "applied") << "; " << number(*frontier, "waits") << " waits";
    if (number(*frontier, "behind") > 0)
      out << "; held up by " << text(*frontier, "held_up_by") << ", which lacks " << number(*frontier, "behind")
          << " updates";
    out << "\n";
  }
}

void print_store(const json& status, std::ostream& out) {
  const auto store = status.find("store");
  if (store == status.end() || !store->is_object()) return;
  out << "\n  store: " << number(*store, "syncs") << " syncs, " << number(*store, "records_written")
      << " records and " << number(*store, "bytes_written") << " bytes written, " << number(*store, "loads")
      << " loads, " << number(*store, "damaged_found") << " damaged, queue " << number(*store, "queue_depth") << "\n";
}

void print_status(const json& status, std::ostream& out) {
  out << "node " << text(status, "node") << " (id " << number(status, "id") << ", region " << text(status, "region")
      << ", incarnation " << number(status, "incarnation") << ") of cluster " << text(status, "cluster") << ": ";
  if (status.value("ready", false))
    out << "ready\n";
  else
    out << "not ready: " << text(status, "not_ready_because") << "\n";
  print_homes(status, out);
  print_locks(status, out);
  print_links(status, out);
  print_view(status, out);
  print_streams(status, out);
  print_memory(status, out);
  print_store(status, out);
}

int show_status(const std::string& admin, bool as_json) {
  const auto status = ask_admin_for_object("status", admin, {.method = "GET", .target = "/v1/status"});
  if (!status) return status.error();
  if (as_json)
    std::cout << status->body << "\n";
  else
    print_status(status->object, std::cout);
  return done;
}

struct status_options {
  std::string admin;
  bool json = false;
};

} // namespace

void add_status(CLI::App& app, action& chosen) {
  auto given = std::make_shared<status_options>();
  auto* command = app.add_subcommand("status", "Who is home of what, as one node sees it; its links and its store");
  add_admin_option(*command, given->admin);
  command->add_flag("--json", given->json, "Print what the node answered");
  command->callback([given, &chosen] { chosen = [given] { return show_status(given->admin, given->json); }; });
}

} // namespace troupe::cli
