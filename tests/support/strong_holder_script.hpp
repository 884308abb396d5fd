/// A memory layer's core on node 9 and a test that plays the homes and the table: it reads what the core wants done.
#pragma once

#include "protocol/strong/holder.hpp"
#include "tests/support/strong_script.hpp"

#include <doctest/doctest.h>

namespace troupe::script {

using namespace std::chrono_literals;

inline constexpr instant start{std::chrono::hours{1}};
inline constexpr shard_id shard{7};
inline constexpr node_id n1{1}, n2{2}, self{9};
inline constexpr epoch era1{1, n1, {1}}, era2{2, n2, {1}};
inline constexpr std::uint64_t first_generation = (std::uint64_t{3} << 32) + 1; ///< of incarnation 3

inline holder_options incarnation_3() {
  holder_options o;
  o.self = self;
  o.life = {3};
  return o;
}

struct scripted_holder {
  explicit scripted_holder(holder_options o = incarnation_3()) : core{o} {}

  /// What is wanted, in order; notes are left out.
  static std::string text(const holder::effects& out) {
    lines all;
    auto copy = [](const holder::cached& c) {
      return c.key + " " + to_string(c.at) + (c.exists ? " '" + c.value + "'" : " nothing");
    };
    for (const auto& e : out) {
      if (const auto* s = std::get_if<send>(&e))
        all.push_back(render(*s));
      else if (const auto* p = std::get_if<holder::publish>(&e))
        all.push_back("publish " + copy(p->copy));
      else if (const auto* u = std::get_if<holder::unpublish>(&e))
        all.push_back("unpublish " + copy(u->pending));
      else if (const auto* c = std::get_if<holder::commit>(&e))
        all.push_back("commit " + c->key + " " + to_string(c->at));
      else if (const auto* x = std::get_if<holder::erase>(&e))
        all.push_back("erase " + x->key);
      else if (const auto* l = std::get_if<holder::lease_set>(&e))
        all.push_back("lease " + to_string(l->generation) + " until "
                      + std::to_string((l->until - start) / std::chrono::microseconds{1}) + " us");
      else if (std::holds_alternative<holder::lease_ended>(e))
        all.push_back("ended");
      else if (const auto* o = std::get_if<holder::obtained>(&e))
        all.push_back("obtained " + to_string(o->at) + (o->exists ? " '" + o->value + "'" : " nothing"));
      else if (const auto* f = std::get_if<holder::failed>(&e))
        all.push_back("failed " + std::string{name_of(f->code)}
                      + (f->hint.value != 0 ? " hint=" + to_string(f->hint) : ""));
    }
    return joined(all);
  }
  template <class F> std::string does(F f) {
    holder::effects out;
    f(out);
    for (const auto& e : out)
      if (const auto* n = std::get_if<note>(&e)) noted = n->name + " " + n->fields;
    return text(out);
  }
  /// A read misses; its request's number is `asked` from now on.
  std::string ask(const std::string& key, node_id home = n1) {
    return does([&](auto& out) { asked = core.acquire(home, shard, key, 1s, now, out); });
  }
  template <class Message> std::string receive(node_id from, const Message& m) {
    return does([&](auto& out) { core.receive(from, m, now, out); });
  }
  std::string tick(nanoseconds later = 0ns) {
    now += later;
    return does([&](auto& out) { core.tick(now, out); });
  }
  std::string peer(node_id who, bool connected) {
    return does([&](auto& out) { core.peer(who, connected, now, out); });
  }
  std::string evicted(const std::string& key) {
    return does([&](auto& out) { core.evicted(shard, key, out); });
  }

  /// The next message of the home that leads in `era`, in the generation that the test plays.
  template <class Message> Message next() {
    Message m;
    m.set_shard(shard.value);
    to_wire(lease_generation{.era = era, .n = generation}, *m.mutable_generation());
    m.set_sequence(++sequence);
    return m;
  }
  v1::LeaseGranted lease_granted(bool begins, milliseconds length = 400ms) {
    if (begins) sequence = 0;
    auto m = next<v1::LeaseGranted>();
    m.set_number(asked);
    m.set_lease_us(static_cast<std::uint64_t>(length.count()) * 1000);
    m.set_begins(begins);
    return m;
  }
  static v1::Copy copy(std::uint64_t counter, const std::string& value, const epoch& of = era1) {
    v1::Copy c;
    to_wire(version{.era = of, .counter = counter}, *c.mutable_version());
    c.set_exists(true);
    c.set_value(value);
    return c;
  }
  v1::LockGranted lock_granted(const std::string& key, const v1::Copy& what) {
    auto m = next<v1::LockGranted>();
    m.set_number(asked);
    m.set_key(key);
    *m.mutable_copy() = what;
    return m;
  }
  v1::Recall recall(const std::string& key, const v1::Copy& what) {
    auto m = next<v1::Recall>();
    m.set_key(key);
    *m.mutable_copy() = what;
    return m;
  }
  v1::Recall recall_all() { return next<v1::Recall>(); }
  v1::Committed committed(const std::string& key, std::uint64_t counter) {
    auto m = next<v1::Committed>();
    m.set_key(key);
    to_wire(version{.era = era, .counter = counter}, *m.mutable_version());
    return m;
  }
  /// The home says that the lease runs, and that `key` is 'a' in version 1.
  void hold(const std::string& key) {
    ask(key);
    receive(n1, lease_granted(true));
    REQUIRE(receive(n1, lock_granted(key, copy(1, "a")))
            == "publish " + key + " 1/n1/1.1 'a' | obtained 1/n1/1.1 'a'");
  }

  holder core;
  instant now = start;
  std::uint64_t asked = 0;
  std::string noted; ///< the last note
  // What the test plays.
  epoch era = era1;
  std::uint64_t generation = first_generation;
  std::uint64_t sequence = 0;
};

} // namespace troupe::script
