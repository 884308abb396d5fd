/// The view of a cluster with a type of a weaker level: three members in this process, and the record among them.
#include <troupe/runtime.hpp>

#include "runtime/runtime_access.hpp"
#include "tests/actors/three_nodes.hpp"

#include <caf/send.hpp>
#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

void send_to_keeper(const runtime& node, const std::function<void(const view_keeper_actor&)>& what) {
  runtime_access{node}.with_parts([&](assembly& parts) { what(parts.actors().actors().view_keeper); });
}

/// What one start of a node is told of the view.
class follower {
public:
  explicit follower(const runtime& node) {
    send_to_keeper(node, [&](const view_keeper_actor& keeper) {
      caf::anon_send(keeper, view_listener{[heard = heard_](const view_changed& now) {
                       {
                         const std::lock_guard lock{heard->mutex};
                         heard->last = now;
                       }
                       heard->changed.notify_all();
                     }});
    });
  }

  std::uint64_t life() const {
    const std::lock_guard lock{heard_->mutex};
    return heard_->last.life;
  }
  /// Waits until the members are these, "n1.1 n2.1(out)"; the bound is for a machine that is busy with other things.
  bool hears(const std::string& members) const {
    std::unique_lock lock{heard_->mutex};
    const auto known = [&] { return to_string(heard_->last.now).ends_with(": " + members); };
    if (heard_->changed.wait_for(lock, 20s, known)) return true;
    MESSAGE("it is ", to_string(heard_->last.now), " and not ", members);
    return false;
  }

private:
  struct told_so_far {
    mutable std::mutex mutex;
    std::condition_variable changed;
    view_changed last;
  };
  std::shared_ptr<told_so_far> heard_ = std::make_shared<told_so_far>();
};

} // namespace

TEST_CASE("view: members get their lives from the record, and come in when they have caught up") {
  const three_nodes cluster;
  auto members = cluster.start_members();
  std::vector<follower> followers;
  for (const auto& m : members)
    followers.emplace_back(m);
  for (const auto& f : followers)
    CHECK(f.hears("n1.1 n2.1 n3.1"));
  const auto status = nlohmann::json::parse(members[1].status_json())["view"];
  CHECK(status["number"] == 6); // each has got a life, out, and has come in
  CHECK(status["life"] == 1);
  CHECK(status["nodes"].size() == 3);
  CHECK(status["nodes"][0].dump() == R"({"life":1,"name":"eu-1","out":false})");
}

TEST_CASE("view: who leaves, or falls silent, is put out, and comes back in with another life") {
  const three_nodes cluster;
  auto members = cluster.start_members();
  std::vector<follower> followers;
  for (const auto& m : members)
    followers.emplace_back(m);
  for (const auto& f : followers)
    CHECK(f.hears("n1.1 n2.1 n3.1"));

  const boot_clock clock;
  REQUIRE(members[1].stop(10s));
  auto gone = clock.now();
  CHECK(followers[0].hears("n1.1 n2.1(out) n3.1"));
  MESSAGE("out ", (clock.now() - gone) / 1ms, " ms after it had stopped");
  CHECK(followers[2].hears("n1.1 n2.1(out) n3.1"));
  members[1] = cluster.start("us-1");
  followers[1] = follower{members[1]};
  for (const auto& f : followers)
    CHECK(f.hears("n1.1 n2.2 n3.1"));
  CHECK(followers[1].life() == 2);

  // Silent, with its connections alive and its shards at work.
  send_to_keeper(members[0],
                 [](const view_keeper_actor& keeper) { caf::anon_send_exit(keeper, caf::exit_reason::kill); });
  gone = clock.now();
  CHECK(followers[1].hears("n1.1(out) n2.2 n3.1"));
  MESSAGE("out ", (clock.now() - gone) / 1ms, " ms after it had fallen silent");
  value_of(members[0].open_session().put("inventory", "k", "v"));
  REQUIRE(members[0].stop(10s));
  members[0] = cluster.start("eu-1");
  followers[0] = follower{members[0]};
  for (const auto& f : followers)
    CHECK(f.hears("n1.2 n2.2 n3.1"));
}

TEST_CASE("view: after all have stopped and started again, all have other lives") {
  const three_nodes cluster;
  auto members = cluster.start_members();
  for (const auto& m : members)
    CHECK(follower{m}.hears("n1.1 n2.1 n3.1"));
  for (auto& m : members)
    CHECK(m.stop(10s));
  std::vector<follower> followers;
  for (std::size_t i = 0; i < members.size(); ++i) {
    members[i] = cluster.start(cluster.base.shape.members[i].name);
    followers.emplace_back(members[i]);
  }
  for (const auto& f : followers) {
    CHECK(f.hears("n1.2 n2.2 n3.2"));
    CHECK(f.life() == 2);
  }
}

TEST_CASE("view: nobody outside can name the record") {
  const three_nodes cluster;
  auto members = cluster.start_members();
  CHECK(follower{members[0]}.hears("n1.1 n2.1 n3.1"));
  auto s = members[0].open_session();
  CHECK(error_of(s.get("$view", "view")) == errc::unknown_type);
  CHECK(error_of(s.put("$view", "view", "rubbish")) == errc::unknown_type);
  auto c = cluster.base;
  c.shape.types["$view"] = {};
  CHECK_FALSE(config::from_toml(print_config(c), "test"));
}

TEST_CASE("view: a cluster whose types are all strong keeps none") {
  three_nodes cluster;
  cluster.base.shape.types.erase("drafts");
  auto members = cluster.start_members();
  CHECK_FALSE(nlohmann::json::parse(members[0].status_json()).contains("view"));
  runtime_access{members[0]}.with_parts([](assembly& parts) {
    CHECK_FALSE(parts.actors().actors().view_keeper);
    CHECK_FALSE(parts.actors().actors().view_record);
  });
}
