// Two stream replicas that compare their records: what a disk has lost, and what nobody can explain.
#include "tests/support/stream_replica_script.hpp"

#include <doctest/doctest.h>

using namespace troupe;
using namespace std::chrono;

namespace {

constexpr origin three{{3}, 5};
constexpr auto ordered = stream_lane::ordered;
constexpr auto free_lane = stream_lane::free;

struct replica : testing::stream_replica_script {
  explicit replica(node_id id) {
    self = options.self = id;
    for (auto& [shard, nodes] : options.stored)
      nodes = {{1}, {2}};
    options.types["many"] = type(level::eventual, resolver_kind::siblings);
    options.compare_every = seconds{4}; // a shard each second
    start();
  }
  void restart() {
    crash();
    start();
    kept.clear();
  }
  std::string read(const std::string& key) { return value_of(ask(get(key))); }
  auto seen() { return core->report(); }
};

struct pair {
  replica a{{1}}, b{{2}};
  pair() {
    a.kept.clear();
    b.kept.clear();
  }

  /// What one of both wants of its disk, and of the other.
  bool serve(replica& from, replica& to) {
    bool any = false;
    const auto each = [&any](auto&& effects, auto&& what) {
      for (auto& e : effects) {
        any = true;
        what(e);
      }
    };
    each(from.take<stream_replica::read_copy>(),
         [&](auto& r) { from.core->copy_read(r.cookie, from.disk.scan(r, false), from.now, from.out); });
    each(from.take<stream_replica::ask_tree>(), [&](auto& q) { to.core->tree_asked(from.self, q.what, to.out); });
    each(from.take<stream_replica::tell_tree>(),
         [&](auto& t) { to.core->tree_told(from.self, t.what, to.now, to.out); });
    each(from.take<stream_replica::ask_copy>(), [&](auto& q) { to.core->copy_asked(from.self, q.what, to.out); });
    each(from.take<stream_replica::tell_copy>(),
         [&](auto& t) { to.core->copy_told(from.self, t.what, to.at(), to.out); });
    from.run();
    to.run();
    return any;
  }
  void pass(seconds time) {
    for (milliseconds t{0}; t < time; t += milliseconds{50}) {
      a.pass(milliseconds{50});
      b.pass(milliseconds{50});
      while (serve(a, b) || serve(b, a)) {
      }
    }
  }
  void accept(stream_lane lane, const std::vector<replica::written>& updates) {
    for (auto* r : {&a, &b}) {
      r->accept(lane, updates);
      if (lane == ordered) r->advance({{updates.back().at.from, updates.back().at.seq}});
    }
  }
};

std::string records_of(const replica& r) {
  std::string out;
  for (const auto& [key, record] : r.disk.records())
    out += key + "=" + std::to_string(hash_of(key, from_wire(record).value_or(sibling_set{}))) + " ";
  return out;
}

} // namespace

TEST_CASE("comparing: replicas that have the same find nothing, over restarts and whatever is written meanwhile") {
  pair p;
  std::uint64_t seq = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 20; ++i, ++seq)
      p.accept(free_lane,
               {{.at = {three, seq + 1}, .key = "view:" + std::to_string(i), .value = std::to_string(seq)}});
    p.pass(seconds{13});
    p.a.restart();
  }
  p.pass(seconds{20});
  for (auto* r : {&p.a, &p.b}) {
    const auto s = r->seen();
    CHECK(s.compared > 4);
    CHECK(s.leaves_doubted == 0);
    CHECK(s.differed == 0);
    CHECK(s.damaged == 0);
  }
}

TEST_CASE("comparing: a record that a disk has lost without a trace is taken from another replica") {
  pair p;
  for (std::uint64_t i = 1; i <= 6; ++i)
    p.accept(ordered, {{.at = {three, i}, .key = "cause:" + std::to_string(i), .value = std::to_string(i)}});
  p.pass(seconds{3});
  const auto before = records_of(p.b);
  REQUIRE(records_of(p.a) == before);
  const auto key = p.a.disk.lose(1);
  REQUIRE(key == "cause:2");
  p.a.restart();
  p.a.advance({{three, 6}});
  CHECK(p.a.read(key) == "nothing"); // nobody has noticed
  p.pass(seconds{12});
  CHECK(p.a.read(key) == "2");
  CHECK(records_of(p.a) == before);
  CHECK(records_of(p.b) == before);
  CHECK(p.a.seen().leaves_doubted == 1);
  CHECK(p.a.seen().damaged == 1);
  CHECK(p.a.seen().damaged_keys == 0);
  CHECK(p.b.seen().damaged == 0);
  p.pass(seconds{12}); // and that was that
  CHECK(p.a.seen().leaves_doubted == 1);
  CHECK(p.a.seen().damaged == 1);
}

TEST_CASE("comparing: a record that stands in the memory is written again where the disk has lost it") {
  pair p;
  p.accept(free_lane, {{.at = {three, 1}, .key = "view:a", .value = "1"}});
  p.pass(seconds{1});
  REQUIRE(p.a.disk.lose(1) == "view:a");
  p.pass(seconds{12});
  CHECK(p.a.disk.records().contains("view:a"));
  CHECK(p.a.seen().leaves_doubted == 1);
  CHECK(p.a.seen().damaged == 0);
}

TEST_CASE("comparing: a record that is as it was before does not bring back what was replaced") {
  pair p;
  p.accept(free_lane, {{.at = {three, 1}, .key = "many:a", .value = "old"}});
  p.pass(seconds{1});
  p.accept(free_lane, {{.at = {three, 2}, .key = "many:a", .value = "new", .context = {{three, 1}}}});
  p.pass(seconds{1});
  REQUIRE(p.a.disk.lose(0) == "many:a");
  p.a.restart();
  CHECK(p.a.read("many:a") == "old");
  p.pass(seconds{12});
  for (auto* r : {&p.a, &p.b}) {
    const auto seen = r->ask(r->get("many:a"));
    REQUIRE(seen.items_size() == 1);
    CHECK(seen.items(0).value() == "new");
    CHECK(r->seen().differed == 0);
  }
  CHECK(p.a.seen().leaves_doubted == 1);
}

TEST_CASE("comparing: a record that the others have collected goes where a disk has it back") {
  pair p;
  p.accept(free_lane, {{.at = {three, 1}, .key = "many:a", .value = "old"}});
  p.pass(seconds{1});
  for (auto* r : {&p.a, &p.b}) {
    auto removed = std::make_shared<v1::Update>(*replica::update({.at = {three, 2}, .key = "many:a", .value = {}}));
    removed->set_kind(v1::Update::REMOVE);
    to_wire(version_vector{{three, 1}}, *removed->mutable_context());
    r->core->accept({.from = three, .lane = free_lane, .updates = {removed}, .upto = 2, .clock = 0}, r->now, r->out);
    r->run();
  }
  p.pass(seconds{1});
  REQUIRE(p.a.disk.lose(0) == "many:a"); // the value again
  p.a.restart();
  for (auto* r : {&p.a, &p.b}) {
    r->core->stable(free_lane, {{three, 2}}, (replica::wall << 16) + 100, r->out);
    r->run();
  }
  CHECK(p.b.disk.records().empty());
  CHECK(p.a.read("many:a") == "old");
  p.pass(seconds{12});
  CHECK(p.a.read("many:a") == "nothing");
  CHECK(p.b.read("many:a") == "nothing");
}

TEST_CASE("comparing: where nobody knows who is wrong, both keep what either has, and it is counted") {
  pair p;
  const std::vector<replica::written> lost{{.at = {three, 1}, .key = "many:a", .value = "1"}};
  p.a.accept(free_lane, lost);
  // A stream that passes one over, and says that it has not.
  p.b.core->accept({.from = three, .lane = free_lane, .updates = {}, .upto = 1, .clock = 0}, p.b.now, p.b.out);
  p.b.run();
  CHECK(p.b.read("many:a") == "nothing");
  p.pass(seconds{12});
  CHECK(p.b.read("many:a") == p.a.read("many:a"));
  CHECK(p.b.ask(p.b.get("many:a")).items_size() == 1);
  CHECK(p.b.seen().differed == 1);
  CHECK(p.a.seen().differed == 0);
  p.b.restart();
  CHECK(p.b.ask(p.b.get("many:a")).items_size() == 1);
  p.pass(seconds{12});
  CHECK(p.b.seen().differed == 0); // since the restart
}

TEST_CASE("comparing: what is copied, or not to be understood, or nobody's business is not compared") {
  pair p;
  v1::TreeAsked q;
  q.set_number(1);
  const auto told = [&] {
    p.b.core->tree_asked({1}, q, p.b.out);
    p.b.run();
    return p.b.take<stream_replica::tell_tree>().size();
  };
  CHECK(told() == 1);
  q.set_shard(99);
  CHECK(told() == 0);
  q.set_shard(0);
  q.set_number(0);
  CHECK(told() == 0);
  q.set_number(2);
  p.b.core->tree_asked({9}, q, p.b.out);
  CHECK(p.b.seen().refused == 3);

  // An answer that is malformed ends the comparison.
  p.a.pass(milliseconds{1});
  p.a.pass(seconds{1});
  for (auto& r : p.a.take<stream_replica::read_copy>())
    p.a.core->copy_read(r.cookie, p.a.disk.scan(r, false), p.a.now, p.a.out);
  p.a.run();
  p.a.pass(milliseconds{1});
  const auto asked = p.a.take<stream_replica::ask_tree>();
  REQUIRE(asked.size() == 1);
  v1::TreeTold answer;
  *answer.mutable_question() = asked[0].what;
  answer.set_life(1);
  answer.add_hashes(7);
  answer.add_writes(1);
  p.a.core->tree_told({2}, answer, p.a.now, p.a.out);
  p.a.run();
  CHECK(p.a.seen().refused == 1);
  CHECK(p.a.seen().compared_in_vain == 1);

  // What is being copied is no state of one vector.
  v1::CopyOffered offer;
  offer.set_life(5);
  offer.set_lane(v1::ORDERED);
  offer.set_upto(3);
  p.b.core->copy_offered({1}, offer, p.b.now, p.b.out);
  q.set_number(3);
  CHECK(told() == 0);
  q.set_lane(v1::FREE);
  CHECK(told() == 1);
  // One that was broken off before its first page has changed nothing.
  p.b.core->peer({1}, false, p.b.now, p.b.out);
  q.set_lane(v1::ORDERED);
  CHECK(told() == 1);
}
