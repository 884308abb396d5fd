/// A home that loses five seconds without knowing.
#include "tests/support/cluster_trial.hpp"

#include <doctest/doctest.h>
#include <httplib.h>

#include <future>

using namespace troupe;
using namespace troupe::test;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t questions = 6; // as many as wait in the sockets of a process that does not accept them

/// Reads a key at this node by HTTP, or adds 1 to it, and says what came back.
check::operation ask(const test_node& node, const std::string& key, std::string client, bool adding) {
  httplib::Client http{node.place.host, node.admin_port};
  http.set_connection_timeout(20s);
  http.set_read_timeout(20s);
  const auto path = std::string{"/v1/keys/"} + cluster_load::type + "/" + key;
  check::operation op;
  op.client = "\"" + std::move(client) + "\"";
  op.key = key;
  op.kind = adding ? check::op_kind::add : check::op_kind::get;
  if (adding) op.delta = 1;
  op.call = stamp_now();
  const auto answer = adding ? http.Post(path + "?add=1") : http.Get(path);
  const auto status = answer ? answer->status : 0;
  const bool done = status == 200 || (status == 404 && !adding);
  const bool not_done = status == 503;
  op.outcome = done ? check::op_outcome::ok : not_done ? check::op_outcome::fail : check::op_outcome::unknown;
  if (!done && !not_done) return op;
  op.returned = stamp_now();
  if (!adding && status == 200) op.value = answer->body;
  return op;
}

} // namespace

TEST_CASE("S1, S2: the home of a hot shard that was stopped for 5 s is not believed when it goes on") {
  trial run;
  run.begin();
  const auto home = run.home_of(0);
  auto& node = run.node(home);
  run.struck("SIGSTOP of " + node.name + ", which leads shard 0");
  node.stop();
  run.serve(1, 1'500ms);
  run.last(3s);

  // They wait in the stopped node's sockets: what it read or wrote from its state of 3 s ago would be wrong by now.
  std::vector<std::future<check::operation>> asked;
  for (std::size_t i = 0; i < questions; ++i) {
    const bool of_counter = i % 2 == 0;
    const auto key = of_counter ? run.load().counter_of(0) : run.load().register_of(0);
    asked.push_back(std::async(std::launch::async, ask, std::cref(node), key, "asked-" + std::to_string(i),
                               of_counter && i % 4 == 0));
  }
  run.last(5s);
  CHECK(run.home_of(0) != home);
  run.struck("SIGCONT of " + node.name);
  node.cont();
  std::size_t answered = 0;
  for (auto& question : asked) {
    auto op = question.get();
    if (op.outcome == check::op_outcome::ok) ++answered;
    run.load().record(std::move(op));
  }
  CHECK(answered > 0); // of those that waited in its sockets, by the home that there is now
  run.serve(100);
  const auto found = run.conclude();
  MESSAGE(found);
  CHECK(found.problems.empty());
}
