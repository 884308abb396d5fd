/// Two links and what lies between them: one connection that keeps order, and can be cut.
#pragma once

#include "protocol/link.hpp"
#include "protocol/wire.hpp"

#include <doctest/doctest.h>

#include <deque>
#include <string>
#include <vector>

namespace troupe::shipping {

inline constexpr instant start{std::chrono::hours{1}};
inline constexpr int rounds_max = 20'000;

inline v1::Envelope renewal(std::uint64_t number) {
  v1::Envelope e;
  e.mutable_renew_leases()->set_number(number);
  return e;
}

inline v1::Envelope operation(std::uint64_t number, std::size_t bytes) {
  v1::Envelope e;
  e.mutable_operation()->mutable_id()->set_number(number);
  e.mutable_operation()->mutable_put()->set_value(std::string(bytes, 'v'));
  return e;
}

/// The number that `renewal` and `operation` gave.
inline std::uint64_t number_of(const v1::Envelope& e) {
  return e.has_renew_leases() ? e.renew_leases().number() : e.operation().id().number();
}

/// Small enough that every bound is met within a few dozen messages.
inline link_options tiny() {
  link_options o;
  o.chunk_bytes = 64;
  o.frame_bytes_max = 256;
  o.frame_messages_max = 8;
  o.message_bytes_max = 4'096;
  o.queue_bytes = 8'192;
  o.queue_messages = 64;
  o.credit_bytes = 2'048;
  o.credit_messages = 32;
  o.window_bytes_min = 512;
  return o;
}

/// The environment of both sides: one connection that keeps order, and can be cut.
class shipper {
public:
  struct side {
    link_stream stream;
    std::deque<v1::Frame> sent; ///< under way to the other side, oldest first
    std::vector<v1::Envelope> delivered;
    std::vector<v1::Envelope> unsent;
    std::vector<std::string> ends;
    link_effects out;
  };

  explicit shipper(link_options options = {})
      : a{link_stream{options}, {}, {}, {}, {}, {}}, b{link_stream{options}, {}, {}, {}, {}, {}} {
    connect();
  }

  void connect() {
    ++connection_;
    for (auto* s : {&a, &b}) {
      s->sent.clear();
      s->stream.connected(connection_, now, s->out);
      take(*s);
    }
  }

  /// Everything under way is lost; both sides learn of it.
  void cut() {
    for (auto* s : {&a, &b}) {
      s->sent.clear();
      s->stream.disconnected(s->out);
      take(*s);
    }
  }

  void post(side& from, v1::Envelope e) {
    from.stream.post(std::move(e), from.out);
    take(from);
  }

  void flush(side& s) {
    s.stream.flush(now, s.out);
    take(s);
  }

  void tick() {
    for (auto* s : {&a, &b}) {
      s->stream.tick(now, s->out);
      take(*s);
    }
  }

  /// One frame to the other side. False when none is under way.
  bool ship(side& from) {
    if (from.sent.empty()) return false;
    auto frame = std::move(from.sent.front());
    from.sent.pop_front();
    auto& to = &from == &a ? b : a;
    to.stream.receive(frame, now, to.out);
    take(to);
    if (to.stream.wants_flush()) flush(to);
    return true;
  }

  /// Until nothing is under way and nobody has anything to send. The number of rounds that it took.
  int run() {
    for (int round = 0; round < rounds_max; ++round) {
      now += milliseconds{1};
      flush(a);
      flush(b);
      const bool moved = ship(a) | ship(b);
      if (!moved && !a.stream.wants_flush() && !b.stream.wants_flush()) return round;
    }
    FAIL("not idle after ", rounds_max, " rounds");
    return rounds_max;
  }

  void take(side& s) {
    for (auto& effect : s.out) {
      if (auto* t = std::get_if<transmit>(&effect)) s.sent.push_back(std::move(t->frame));
      if (auto* d = std::get_if<deliver>(&effect)) s.delivered.push_back(std::move(d->envelope));
      if (auto* d = std::get_if<dropped>(&effect)) s.unsent.push_back(std::move(d->envelope));
      if (auto* c = std::get_if<closed>(&effect)) s.ends.push_back(c->why);
    }
    s.out.clear();
  }

  instant now = start;
  side a, b;

private:
  std::uint64_t connection_ = 0;
};

inline std::vector<std::uint64_t> numbers(const std::vector<v1::Envelope>& envelopes, lane which) {
  std::vector<std::uint64_t> found;
  for (const auto& e : envelopes)
    if (lane_of(e) == which) found.push_back(number_of(e));
  return found;
}

} // namespace troupe::shipping
