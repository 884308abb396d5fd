/// What Redis commands mean to Troupe. Pure: a command in, a reply or operations out.
#pragma once

#include "protocol/cluster.hpp"
#include "runtime/faces/resp_parser.hpp"
#include "runtime/faces/resp_reply.hpp"
#include "runtime/faces/typed_operation.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace troupe::resp {

/// What a client may call itself; a gateway keeps it for each connection.
inline constexpr std::size_t name_bytes_max = 1'024;

/// How one command is answered.
struct plan {
  form as = form::ready;
  version spoken = version::resp2;         ///< in which its reply is rendered
  std::string reply;                       ///< as == ready: all of it
  std::vector<typed_operation> operations; ///< else: one or more, to be issued in order
  bool snapshot = false;                   ///< they are reads, of one causal cut
  std::string field{};                     ///< form::field: which
  std::optional<std::string> join{};       ///< form::ok: a token that the session goes on from; no operation
  bool close = false;                      ///< the connection ends behind the reply
};

/// One connection's side of the talk: which protocol version it speaks, and what its client calls itself.
class conversation {
public:
  /// @param shape  outlives the conversation.
  /// @param id     what CLIENT ID answers; unique among the gateway's connections.
  conversation(const cluster& shape, std::uint64_t id) : shape_(&shape), id_(id) {}

  /// Never refuses to answer: what is not understood gets an error that says what is.
  plan interpret(command words);

  version spoken() const { return spoken_; }

private:
  plan ready(std::string reply) const;
  plan on_keys(form as, command& words, std::size_t first, std::size_t last, const v1::Operation& operation,
               read_view view = read_view::value) const;
  plan add(command& words, std::int64_t delta) const;
  plan add_argument(command& words, bool negate) const;
  plan set(command& words) const;
  plan hello(const command& words);
  plan client(const command& words);
  plan config(const command& words) const;
  plan wrong_arity(std::string_view name) const;
  plan level_command(const command& words);
  plan token_command(command& words) const;
  plan many(command& words) const;
  plan set_command(std::string_view name, command& words) const;
  plan map_command(std::string_view name, command& words) const;
  plan on_parts(form as, command& words, read_view view, std::vector<v1::Operation> operations) const;

  const cluster* shape_;
  std::uint64_t id_;
  version spoken_ = version::resp2;
  std::string name_;
  std::optional<level> level_; ///< of reads; absent = their types'
};

} // namespace troupe::resp
