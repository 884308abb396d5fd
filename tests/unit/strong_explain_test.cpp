#include "tests/support/strong_home_script.hpp"

using namespace troupe;
using namespace troupe::script;

namespace {

struct explained : scripted_home {
  v1::KeyView view() const {
    const auto found = core.explain("t:k", now);
    REQUIRE(found.has_value());
    return *found;
  }
  bool says(const std::string& words) const { return view().state().find(words) != std::string::npos; }
};

} // namespace

TEST_CASE("explain: a home says how far it is with a key, and why a read would wait there") {
  const home fresh{three_replicas()};
  const auto nobody = fresh.explain("t:k", start);
  REQUIRE(nobody.has_value());
  CHECK(nobody->state() == "knows no home");
  CHECK(nobody->waits_for() == "nobody decides for the shard yet");
  explained h;
  CHECK(h.says("claims the shard"));
  h.lead();
  CHECK(h.says("not touched in this epoch"));
  CHECK(h.view().waits_for().empty());
  h.receive(client, put(1, "v"));
  CHECK(h.view().waits_for() == "first touch: 0 of 3 replicas have answered");
  h.latest(n1);
  CHECK(h.view().waits_for() == "first touch: 1 of 3 replicas have answered");
  h.latest(n2);
  h.latest(n3);
  CHECK(h.says("undecided "));
  CHECK(h.says("accepted by [] of "));
  CHECK(h.view().version().empty());
  h.accept(n2);
  CHECK(h.says("accepted by [" + to_string(n2) + "] of "));
  h.accept(n1);
  CHECK_FALSE(h.says("undecided"));
  CHECK_FALSE(h.view().version().empty());
  CHECK(h.view().waits_for().empty());
}

TEST_CASE("explain: a home names who holds a key, and whom a write waits for") {
  explained h;
  h.lead();
  h.receive(client, put(1, "v"));
  h.touch_empty();
  h.accept(n2);
  h.accept(n1);
  v1::LockRequest wish;
  wish.set_shard(shard.value);
  wish.set_number(1);
  wish.set_key("t:k");
  wish.set_generation(1);
  wish.set_budget_us(1'000'000);
  h.receive(n3, wish);
  CHECK(h.says("read locks of " + to_string(n3)));
  h.receive(client, put(2, "w"));
  h.accept(n2);
  h.accept(n1);
  CHECK(h.says("waits for read locks of " + to_string(n3)));
  h.now += 10s;
  CHECK(h.view().waits_for() == "its lease is over");
}

TEST_CASE("explain: who is not home and knows who is has nothing to say") {
  home other{three_replicas()};
  home::effects out;
  other.lessee_seen({.round = 9, .node = n2, .life = {1}}, {}, start, out);
  CHECK_FALSE(other.explain("t:k", start).has_value());
}
