#include "protocol/greeting.hpp"

#include "protocol/error.hpp"

#include <algorithm>

namespace troupe {

/// Unique between the two nodes: only the dialler chooses, and its incarnation grows with each start.
std::uint64_t greeting::next_connection() {
  constexpr int dials_bits = 24;
  const auto id = (options_.self.incarnation() << dials_bits) + ++dials_;
  return id != 0 ? id : ++dials_;
}

void greeting::pause(instant now) {
  at_ = stage::apart;
  connection_ = 0;
  consent_by_ = never;
  retry_at_ = now + pause_;
  pause_ = std::min<nanoseconds>(pause_ * 2, options_.retry_max);
}

instant greeting::due() const {
  if (at_ == stage::apart && options_.dials) return retry_at_;
  if (at_ == stage::waiting) return consent_by_;
  return never;
}

void greeting::tick(instant now, greeting_effects& out) {
  if (now < due()) return;
  if (at_ == stage::apart) {
    at_ = stage::dialling;
    out.push_back(dial{});
  } else {
    out.push_back(hang_up{});
    pause(now);
  }
}

void greeting::dialled(instant now, greeting_effects& out) {
  if (at_ != stage::dialling) return;
  at_ = stage::waiting;
  connection_ = next_connection();
  consent_by_ = now + options_.consent_timeout;
  auto hello = options_.self;
  hello.set_connection(connection_);
  out.push_back(say_hello{std::move(hello)});
}

void greeting::dial_failed(instant now, const std::string&, greeting_effects&) {
  if (at_ == stage::dialling) pause(now);
}

void greeting::lost(instant now, const std::string& why, greeting_effects& out) {
  if (at_ == stage::apart || at_ == stage::dialling) return;
  if (at_ == stage::up) out.push_back(connection_down{why});
  out.push_back(hang_up{});
  pause(now);
}

void greeting::admitted(const v1::Hello& hello, greeting_effects& out) {
  if (options_.dials || hello.connection() == 0) return;
  if (at_ == stage::up) out.push_back(connection_down{"replaced by a newer connection"});
  at_ = stage::up;
  connection_ = hello.connection();
  auto consent = options_.self;
  consent.set_connection(connection_);
  out.push_back(say_hello{std::move(consent)});
  out.push_back(connection_up{connection_, {hello.incarnation()}});
}

void greeting::consented(const v1::Hello& hello, instant now, greeting_effects& out) {
  if (at_ != stage::waiting || hello.connection() != connection_) return;
  if (hello.node() != options_.peer.value) {
    v1::HelloRefused no;
    no.set_error(static_cast<std::uint32_t>(errc::wrong_configuration));
    no.set_what("dialled " + to_string(options_.peer) + " but " + to_string(node_id{hello.node()}) + " answered");
    refuse(no, now, out);
    return;
  }
  at_ = stage::checking;
  consent_by_ = never;
  out.push_back(check_hello{hello});
}

void greeting::refused(const v1::HelloRefused& no, instant now, greeting_effects& out) {
  if (at_ == stage::waiting && no.connection() == connection_) refuse(no, now, out);
}

void greeting::checked(const v1::Hello& hello, const v1::HelloRefused& verdict, instant now, greeting_effects& out) {
  if (at_ != stage::checking || hello.connection() != connection_) return;
  if (verdict.error() != 0) return refuse(verdict, now, out);
  at_ = stage::up;
  pause_ = options_.retry_min;
  out.push_back(connection_up{connection_, {hello.incarnation()}});
}

void greeting::refuse(const v1::HelloRefused& no, instant now, greeting_effects& out) {
  out.push_back(refusal{no.error(), no.what(), no.what() == last_refusal_});
  out.push_back(hang_up{});
  last_refusal_ = no.what();
  pause_ = options_.retry_max;
  pause(now);
}

} // namespace troupe
