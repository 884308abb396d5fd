/// An auditor at a build that is broken on purpose: a memory table that does not look at leases. It finds what a
/// client was answered wrongly, and proves it.
#include <troupe/runtime.hpp>

#include "protocol/check/check_command.hpp"
#include "protocol/mutation.hpp"
#include "runtime/runtime_access.hpp"
#include "tests/actors/alert_listener.hpp"
#include "tests/actors/stall.hpp"
#include "tests/actors/three_nodes.hpp"

#include <doctest/doctest.h>

#include <caf/scoped_actor.hpp>

#include <fstream>
#include <memory>
#include <sstream>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

struct outcome_of_audit {
  std::uint64_t proved = 0, refuted = 0;
  std::vector<alert_notice> alerts;
  std::vector<std::filesystem::path> proofs;
};

/// A node whose own threads stand still reads after another node's write has been acknowledged. All of it is on one
/// machine, so one auditor may judge what both nodes answered.
outcome_of_audit audited_read_after_write_elsewhere(const three_nodes& cluster, mutation planted) {
  auto members = cluster.start_members();
  auto web = cluster.start("web");
  if (auto ready = web.wait_ready(20s); !ready) FAIL(ready.error().message());
  const auto feed = runtime_access{members[0]}.audit();
  runtime_access{web}.audit_with(feed);
  outcome_of_audit found;
  const auto notices = std::make_shared<heard<alert_notice>>();
  runtime_access{members[0]}.with_parts([&](assembly& parts) {
    caf::scoped_actor self{parts.system()};
    self->request(parts.actors().actors().monitor, 20s, subscribe_atom::value,
                  spawn_listener(parts.system(), notices))
        .receive([](bool taken) { CHECK(taken); }, [](const caf::error&) { FAIL("no answer"); });
  });
  auto reader = web.open_session(), writer = members[0].open_session();
  value_of(writer.put("inventory", "k", "old"));
  std::uint64_t hits = 0;
  for (int i = 0; i < 1'000 && hits == 0; ++i) {
    value_of(reader.get("inventory", "k"));
    runtime_access{web}.with_parts([&](assembly& parts) { hits = parts.actors().memory()->count().hits; });
  }
  REQUIRE(hits > 0);
  {
    const stall standing{web};
    value_of(writer.put("inventory", "k", "new", {.deadline = 20s}));
    plant(planted); // for this thread, which reads
    (void)reader.get("inventory", "k", {.deadline = 100ms});
    plant(mutation::none);
  }
  runtime_access{members[0]}.with_parts([](assembly& parts) { parts.finish_audit(parts.clock().now() + 20s); });
  const auto& counts = feed->counts().of(check::promise::linearizable);
  found.proved = counts.proved;
  found.refuted = counts.refuted;
  if (found.refuted > 0) found.alerts = notices->wait_for(1);
  for (const auto& f : std::filesystem::directory_iterator{cluster.folder.path})
    if (f.path().filename() == "proofs")
      for (const auto& proof : std::filesystem::directory_iterator{f.path()})
        if (proof.path().extension() == ".jsonl") found.proofs.push_back(proof.path());
  return found;
}

} // namespace

TEST_CASE("S1: planted: an auditor of a node that answers what is over finds it, proves it, and raises an alert") {
  three_nodes cluster;
  cluster.base.audit = {1, std::chrono::hours{1}, cluster.folder.path / "proofs"};
  const auto found = audited_read_after_write_elsewhere(cluster, mutation::table_lease_not_checked);
  CHECK(found.refuted == 1);
  REQUIRE_FALSE(found.alerts.empty());
  CHECK(found.alerts[0].about.kind == "history_refuted");
  CHECK(found.alerts[0].about.name == "violation_served");
  CHECK(found.alerts[0].about.key == "inventory:k");
  REQUIRE(found.proofs.size() == 1);
  std::ifstream lines{found.proofs[0]};
  std::ostringstream out, err;
  CHECK(check::check_linearizability(lines, out, err, {}) == static_cast<int>(check::check_exit::no));
  CHECK(out.str().find("old") != std::string::npos);
}

TEST_CASE("S1: an auditor of the same node, not broken, proves what it answers") {
  three_nodes cluster;
  cluster.base.audit = {1, std::chrono::hours{1}, cluster.folder.path / "proofs"};
  const auto found = audited_read_after_write_elsewhere(cluster, mutation::none);
  CHECK(found.refuted == 0);
  CHECK(found.proved == 1);
  CHECK(found.proofs.empty());
}
