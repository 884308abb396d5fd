/// One core of the update streams and a test that plays everybody else: it reads what the core wants done.
#pragma once

#include "protocol/stream/frontier.hpp"
#include "protocol/stream/inbound.hpp"
#include "protocol/stream/outbound.hpp"

#include <doctest/doctest.h>

#include <string>
#include <utility>
#include <vector>

namespace troupe::script {

using namespace std::chrono_literals;

inline constexpr instant start{std::chrono::hours{1}};
inline constexpr node_id n1{1}, n2{2}, n3{3}, n4{4};
inline constexpr auto ordered = stream_lane::ordered, eventual = stream_lane::free;

/// An update of 100 bytes by weight_of, of shard 0 unless said otherwise; its stamp is ten times its number.
inline v1::Update update(std::uint64_t seq, std::uint32_t shard = 0) {
  v1::Update u;
  u.set_seq(seq);
  u.set_clock(seq * 10);
  u.set_shard(shard);
  u.set_key("t:k");
  u.set_value(std::string(33, 'v'));
  return u;
}
inline shared_updates updates(std::uint64_t first, std::uint64_t last, std::uint32_t shard = 0) {
  shared_updates all;
  for (auto seq = first; seq <= last; ++seq)
    all.push_back(std::make_shared<const v1::Update>(update(seq, shard)));
  return all;
}

class lines {
public:
  void add(const std::string& line) { text_ += (text_.empty() ? "" : " | ") + line; }
  const std::string& text() const { return text_; }

private:
  std::string text_;
};

inline std::string text(const v1::Vector& v) { return to_string(from_wire(v)); }

/// "ordered 1: 0..3 [1 3] clock 30"
inline std::string text(const v1::Updates& m) {
  std::string s = std::string{m.lane() == v1::ORDERED ? "ordered " : "free "} + std::to_string(m.life()) + ": "
                  + std::to_string(m.after()) + ".." + std::to_string(m.upto()) + " [";
  for (const auto& u : m.updates())
    s += (s.back() == '[' ? "" : " ") + std::to_string(u.seq());
  return s + "] clock " + std::to_string(m.clock()) + (m.ended() ? " ended" : "");
}
inline std::string text(const v1::UpdatesAcknowledged& m) {
  std::string s = "positions";
  for (const auto& p : m.positions())
    s += std::string{p.lane() == v1::ORDERED ? " ordered " : " free "} + std::to_string(p.life()) + ":"
         + std::to_string(p.durable()) + (p.again() ? " again" : "");
  return s;
}

/// Node 1's stream to node 2, which stores shard 0 and not shard 1. Life 5 runs.
struct scripted_outbound {
  explicit scripted_outbound(outbound_options o = usual()) : core{std::move(o)} {}

  static outbound_options usual() {
    outbound_options o;
    o.self = n1;
    o.peer = n2;
    o.stored = {true, false};
    return o;
  }
  template <class F> std::string does(F f) {
    outbound::effects out;
    f(out);
    lines all;
    for (const auto& e : out) {
      if (const auto* s = std::get_if<outbound::send_updates>(&e)) all.add(text(s->message));
      if (const auto* r = std::get_if<outbound::read_log>(&e)) {
        all.add("read " + std::string{name_of(r->lane)} + " " + std::to_string(r->life) + " after "
                + std::to_string(r->after));
        asked = *r;
      }
      if (const auto* d = std::get_if<outbound::peer_durable>(&e))
        all.add("peer has " + std::string{name_of(d->lane)} + " " + std::to_string(d->life) + ":"
                + std::to_string(d->upto));
      if (const auto* c = std::get_if<outbound::cut>(&e))
        all.add("cut after " + std::to_string(c->after) + (c->again ? " again" : ""));
      if (const auto* n = std::get_if<note>(&e)) all.add(n->name + " " + n->fields);
    }
    return all.text();
  }
  std::string durable(std::uint64_t first, std::uint64_t last, std::uint32_t shard = 0, stream_lane lane = ordered) {
    return does([&](auto& out) { core.durable({lane, 5, updates(first, last, shard), last, last * 10}, now, out); });
  }
  std::string acknowledge(std::uint64_t upto, bool again = false, std::uint64_t life = 5, int lane = 0) {
    v1::UpdatesAcknowledged m;
    auto& p = *m.add_positions();
    p.set_life(life);
    p.set_lane(static_cast<v1::Lane>(lane));
    p.set_durable(upto);
    p.set_again(again);
    return does([&](auto& out) { core.receive(m, now, out); });
  }
  /// A connection begins, and the peer says that it knows of nothing new.
  std::string connect() {
    core.connected(now);
    return does([&](auto& out) { core.receive(v1::UpdatesAcknowledged{}, now, out); });
  }
  std::string read(std::uint64_t upto) {
    return does([&](auto& out) {
      core.log_read({asked.lane, asked.life, asked.after, updates(asked.after + 1, upto), upto}, now, out);
    });
  }
  std::string flush() {
    return does([&](auto& out) { core.flush(now, out); });
  }
  std::string tick(nanoseconds later) {
    now += later;
    return does([&](auto& out) { core.tick(now, out); });
  }

  instant now = start;
  outbound core;
  outbound::read_log asked{};
};

/// Node 2's receiving of node 1's stream; it stores shard 0 and not shard 1.
struct scripted_inbound {
  explicit scripted_inbound(inbound_options o = usual(), bool connected = true) : core{std::move(o)} {
    if (connected) connect();
  }
  static inbound_options usual() {
    inbound_options o;
    o.self = n2;
    o.peer = n1;
    o.stored = {true, false};
    return o;
  }
  template <class F> std::string does(F f) {
    inbound::effects out;
    f(out);
    lines all;
    for (const auto& e : out) {
      if (const auto* s = std::get_if<inbound::send_acknowledged>(&e)) all.add(text(s->message));
      if (const auto* a = std::get_if<inbound::accept>(&e)) {
        std::string numbers;
        for (const auto& u : a->updates)
          numbers += (numbers.empty() ? "" : " ") + std::to_string(u->seq());
        all.add("accept " + to_string(a->from) + " " + std::string{name_of(a->lane)} + " [" + numbers + "] upto "
                + std::to_string(a->upto) + " clock " + std::to_string(a->clock) + (a->ended ? " ended" : ""));
      }
      if (const auto* n = std::get_if<note>(&e)) noted = n->name + " " + n->fields;
    }
    return all.text();
  }
  /// A message about life 5 with all updates of (after, upto], of shard 0.
  static v1::Updates message(std::uint64_t after, std::uint64_t upto) {
    v1::Updates m;
    m.set_life(5);
    m.set_after(after);
    m.set_upto(upto);
    m.set_clock(upto * 10);
    for (auto seq = after + 1; seq <= upto; ++seq)
      *m.add_updates() = update(seq);
    return m;
  }
  std::string connect() {
    return does([&](auto& out) { core.connected(now, out); });
  }
  std::string receive(const v1::Updates& m) {
    return does([&](auto& out) { core.receive(m, now, out); });
  }
  std::string flush() {
    return does([&](auto& out) { core.flush(now, out); });
  }
  std::string tick(nanoseconds later) {
    now += later;
    return does([&](auto& out) { core.tick(now, out); });
  }

  instant now = start;
  inbound core;
  std::string noted; ///< the last note
};

/// Node 1's frontier; nodes 1 and 2 are of the east, 3 and 4 of the west. All are in life 1.
struct scripted_frontier {
  explicit scripted_frontier(bool knows_view = true, std::size_t waits_max = 3) : core{usual(waits_max)} {
    v.number = 1;
    for (auto n : {n1, n2, n3, n4})
      v.nodes[n].life = 1;
    if (knows_view) view_changed();
  }
  static frontier_options usual(std::size_t waits_max) {
    frontier_options o;
    o.self = n1;
    o.life = {7};
    o.regions = {{n1, "east"}, {n2, "east"}, {n3, "west"}, {n4, "west"}};
    o.waits_max = waits_max;
    return o;
  }
  template <class F> std::string does(F f) {
    frontier::effects out;
    f(out);
    lines all;
    for (const auto& e : out) {
      if (const auto* s = std::get_if<frontier::send_facts>(&e))
        all.add(to_string(s->to) + ": received " + text(s->message.received()) + " region "
                + text(s->message.region()) + (s->message.wanted() ? " wanted" : ""));
      if (const auto* a = std::get_if<frontier::advanced>(&e)) all.add("applied " + to_string(a->applied));
      if (const auto* a = std::get_if<frontier::stable_advanced>(&e))
        all.add(std::string{name_of(a->lane)} + " stable " + to_string(a->stable));
      if (const auto* r = std::get_if<frontier::reached>(&e)) all.add("reached " + std::to_string(r->cookie));
      if (const auto* f2 = std::get_if<frontier::failed>(&e))
        all.add("failed " + std::to_string(f2->cookie) + " " + std::string{name_of(f2->code)} + " missing "
                + to_string(f2->missing) + " who " + to_string(f2->who));
      if (const auto* n = std::get_if<note>(&e)) noted = n->name + " " + n->fields;
    }
    return all.text();
  }
  std::string view_changed() {
    return does([&](auto& out) { core.view_changed(v, now, out); });
  }
  static v1::FrontierFacts facts(const version_vector& received, const version_vector& region) {
    v1::FrontierFacts m;
    m.set_view(1);
    m.set_incarnation(1);
    to_wire(received, *m.mutable_received());
    to_wire(region, *m.mutable_region());
    return m;
  }
  std::string receive(node_id from, v1::FrontierFacts m) {
    if (m.number() == 0) m.set_number(++number);
    return does([&](auto& out) { core.receive(from, m, now, out); });
  }
  /// Tells and concludes.
  std::string hear(node_id from, const version_vector& received, const version_vector& region = {}) {
    receive(from, facts(received, region));
    return flush();
  }
  std::string wait(std::uint64_t cookie, const version_vector& vector, nanoseconds budget = 1s) {
    return does([&](auto& out) { core.wait({cookie, vector, now + budget}, now, out); });
  }
  std::string flush() {
    return does([&](auto& out) { core.flush(now, out); });
  }
  std::string tick(nanoseconds later) {
    now += later;
    return does([&](auto& out) { core.tick(now, out); });
  }

  instant now = start;
  view v;
  frontier core;
  std::uint64_t number = 0;
  std::string noted; ///< the last note
};

} // namespace troupe::script
