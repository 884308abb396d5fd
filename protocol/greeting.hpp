/// How a link comes up: dial, hello, consent; and how often it tries.
///
///   DIALLER             LISTENER
///   dial ------------->           the transport connects
///   Hello ------------> DOOR      asks its membership, then hands the wire to the link of that peer
///         <------------ Hello     consent: the same connection id; or HelloRefused
///   asks its own membership too
///   up    ------------> up        by the first frame; or HelloRefused, so that both ends know why
///
/// Who receives a HelloRefused closes the wire. Of two members the one with the lower id dials; a client node dials
/// every member.
#pragma once

#include "protocol/ids.hpp"
#include "protocol/wire/membership.pb.h"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace troupe {

/// What somebody says, as people see it: a stranger may have put line ends or pages into it.
std::string one_line(std::string_view text, std::size_t bytes_max = 1024);
/// The sender of a hello as its own words have it.
std::string shown_name(const v1::Hello& hello);

struct greeting_options {
  node_id peer;
  bool dials = false;
  v1::Hello self; ///< what this node says of itself; `connection` is filled in per dial
  milliseconds retry_min{20};
  milliseconds retry_max{1000}; ///< also the pause after a refusal
  milliseconds answer_timeout{2000};
};

/// What a greeting wants done, in order.
struct dial {}; ///< ask the transport for a wire; answered by `dialled` or `dial_failed`
struct say_hello {
  v1::Hello hello;
};
struct say_no {
  v1::HelloRefused no;
};
struct check_hello { ///< ask this node's membership; answered by `checked`
  v1::Hello hello;
};
struct connection_up {
  std::uint64_t connection = 0;
  incarnation life; ///< the peer's
};
struct connection_down { ///< only ever after connection_up
  std::string why;
};
struct hang_up {}; ///< close the wire
struct refusal {   ///< tell people
  std::uint32_t error = 0;
  std::string what;
  bool repeated = false; ///< the same as the last one
};
using greeting_effect =
    std::variant<dial, say_hello, say_no, check_hello, connection_up, connection_down, hang_up, refusal>;
using greeting_effects = std::vector<greeting_effect>;

class greeting {
public:
  explicit greeting(greeting_options options) : options_(std::move(options)), pause_(options_.retry_min) {}

  /// Dials when it is time; gives up on a peer that does not answer.
  void tick(instant now, greeting_effects& out);
  /// When `tick` next has something to do; `never` when only a message can change anything.
  instant due() const;

  /// TRANSPORT.
  void dialled(instant now, greeting_effects& out);
  void dial_failed(instant now, const std::string& why, greeting_effects& out);
  /// The wire is gone, or the frames on it were refused, or the peer fell silent.
  void lost(instant now, const std::string& why, greeting_effects& out);

  /// DOOR: a hello that this node's membership admits. Replaces a running connection: the peer has given it up.
  void admitted(const v1::Hello& hello, instant now, greeting_effects& out);
  /// DOOR: a hello of this peer that was refused. Changes nothing but what is told to people.
  void turned_away(const v1::HelloRefused& no, greeting_effects& out);
  /// Over the wire, to the listener: a frame. The first one says that the dialler agrees.
  void heard(std::uint64_t connection, greeting_effects& out);

  /// Over the wire, to the dialler. An answer to an earlier hello is ignored.
  void consented(const v1::Hello& hello, instant now, greeting_effects& out);
  /// Over the wire, to either.
  void refused(const v1::HelloRefused& no, instant now, greeting_effects& out);

  /// MEMBERSHIP: what it thinks of the consent; error 0 = admitted.
  void checked(const v1::Hello& hello, const v1::HelloRefused& verdict, instant now, greeting_effects& out);

  bool up() const { return at_ == stage::up; }
  /// Nothing is under way.
  bool apart() const { return at_ == stage::apart; }
  /// Of the peer by this node, or the other way; empty = none since the connection was last up.
  const std::string& last_refusal() const { return last_refusal_; }
  std::uint64_t refusals() const { return refusals_; }

private:
  enum class stage : std::uint8_t {
    apart,    ///< a dialler: until retry_at_; a listener: until somebody dials
    dialling, ///< the transport owes an answer
    waiting,  ///< dialler: a hello was sent, the answer is due by answer_by_
    checking, ///< dialler: membership owes an answer
    parting, ///< dialler: it said no, and leaves the wire to the peer until answer_by_: closing might overtake the no
    agreed,  ///< listener: it said yes, the first frame is due by answer_by_
    up,
  };
  std::uint64_t next_connection();
  void pause(instant now);
  void rise(incarnation life, greeting_effects& out);
  void note_refusal(const v1::HelloRefused& no, greeting_effects& out);
  void refuse(const v1::HelloRefused& no, instant now, greeting_effects& out);

  greeting_options options_;
  stage at_ = stage::apart;
  std::uint64_t connection_ = 0; ///< of the hello; 0 = apart or dialling
  incarnation peer_life_;        ///< agreed: as the hello said
  std::uint64_t dials_ = 0;
  nanoseconds pause_;  ///< before the next dial; doubles up to retry_max, reset when a connection is up
  instant retry_at_{}; ///< apart: no dial before
  instant answer_by_ = never;
  std::string last_refusal_;
  std::uint64_t refusals_ = 0; ///< hellos that one of the two refused, ever
};

} // namespace troupe
