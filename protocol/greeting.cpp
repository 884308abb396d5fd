#include "protocol/greeting.hpp"

#include "protocol/error.hpp"

#include <algorithm>

namespace troupe {

std::string one_line(std::string_view text, std::size_t bytes_max) {
  std::string line{text.substr(0, bytes_max)};
  std::replace_if(
      line.begin(), line.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return line;
}

std::string shown_name(const v1::Hello& hello) {
  constexpr std::size_t shown_max = 64;
  return hello.name().empty() ? "node " + to_string(node_id{hello.node()}) : one_line(hello.name(), shown_max);
}

/// Unique between the two nodes: only the dialler chooses, and its incarnation grows with each start.
std::uint64_t greeting::next_connection() {
  constexpr int dials_bits = 24;
  const auto id = (options_.self.incarnation() << dials_bits) + ++dials_;
  return id != 0 ? id : ++dials_;
}

void greeting::pause(instant now) {
  at_ = stage::apart;
  connection_ = 0;
  answer_by_ = never;
  retry_at_ = now + pause_;
  pause_ = std::min<nanoseconds>(pause_ * 2, options_.retry_max);
}

instant greeting::due() const {
  if (at_ == stage::apart && options_.dials) return retry_at_;
  return answer_by_;
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
  answer_by_ = now + options_.answer_timeout;
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

void greeting::admitted(const v1::Hello& hello, instant now, greeting_effects& out) {
  if (options_.dials || hello.connection() == 0) return;
  if (at_ == stage::up) out.push_back(connection_down{"replaced by a newer connection"});
  at_ = stage::agreed;
  connection_ = hello.connection();
  peer_life_ = {hello.incarnation()};
  answer_by_ = now + options_.answer_timeout;
  auto consent = options_.self;
  consent.set_connection(connection_);
  out.push_back(say_hello{std::move(consent)});
}

void greeting::turned_away(const v1::HelloRefused& no, greeting_effects& out) { note_refusal(no, out); }

void greeting::heard(std::uint64_t connection, greeting_effects& out) {
  if (at_ == stage::agreed && connection == connection_) rise(peer_life_, out);
}

void greeting::rise(incarnation life, greeting_effects& out) {
  at_ = stage::up;
  answer_by_ = never;
  pause_ = options_.retry_min;
  last_refusal_.clear();
  out.push_back(connection_up{connection_, life});
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
  answer_by_ = never;
  out.push_back(check_hello{hello});
}

void greeting::refused(const v1::HelloRefused& no, instant now, greeting_effects& out) {
  const bool asked = at_ == stage::waiting || at_ == stage::agreed;
  if (asked && no.connection() == connection_) refuse(no, now, out);
}

void greeting::checked(const v1::Hello& hello, const v1::HelloRefused& verdict, instant now, greeting_effects& out) {
  if (at_ != stage::checking || hello.connection() != connection_) return;
  if (verdict.error() == 0) return rise({hello.incarnation()}, out);
  note_refusal(verdict, out);
  auto no = verdict;
  no.set_connection(connection_);
  out.push_back(say_no{std::move(no)});
  at_ = stage::parting;
  pause_ = options_.retry_max;
  answer_by_ = now + options_.answer_timeout;
}

void greeting::note_refusal(const v1::HelloRefused& no, greeting_effects& out) {
  ++refusals_;
  auto what = one_line(no.what());
  const bool repeated = what == last_refusal_;
  last_refusal_ = what;
  out.push_back(refusal{no.error(), std::move(what), repeated});
}

void greeting::refuse(const v1::HelloRefused& no, instant now, greeting_effects& out) {
  note_refusal(no, out);
  out.push_back(hang_up{});
  pause_ = options_.retry_max;
  pause(now);
}

} // namespace troupe
