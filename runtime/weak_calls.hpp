/// The calls of the public API on types of a weaker level: from a call's options to what the session's actor is told,
/// and from its whole answer to what the caller sees.
#pragma once

#include <troupe/error.hpp>
#include <troupe/session.hpp>

#include "actors/interfaces.hpp"
#include "protocol/session/token.hpp"
#include "runtime/config_file.hpp"
#include "runtime/operation_rules.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace troupe {

class session_impl;

/// What an answer says beside its result; filled before the call is delivered. Of a strong type: only `from`.
struct answer_details {
  v1::WeakAnswer whole;
  receipt::source from = receipt::source::home;
  level given = level::strong;
  bool asked = false; ///< the caller wants a receipt
};

/// What a call asks for beside its operation.
struct weak_request {
  read_view view = read_view::value;
  std::optional<level> at{};
  std::optional<nanoseconds> max_staleness{};
  quoted after{};
  quoted context{};
  std::optional<v1::Vector> cut{};           ///< of a snapshot
  std::shared_ptr<answer_details> details{}; ///< null = nobody looks
};

/// What a call of this kind has in its options.
weak_request weak_request_of(const call_options& options);
/// It asks for nothing but the value.
bool is_plain(const call_options& options);
/// As v1::WeakOperation::guarantees has them.
std::uint32_t bits_of(const session_guarantees& wanted);

call_wishes wishes_of(const weak_request& request, bool fenced);

/// Fills the part of a message to the session's actor that is about weaker levels.
/// @errors bad_token: `after` or `context` does not verify.
result<void> fill(session_call& message, const weak_request& request, const node_config& settings);

/// What went wrong, with whom everybody waits for.
error error_of(const v1::WeakAnswer& answer, const std::string& key, const cluster& shape);

/// Keeps of an answer what may be looked at later: not its value.
void keep(const v1::WeakAnswer& answer, answer_details& out);
receipt receipt_of(const answer_details& details);
/// @param settings  for the context, which is sealed.
/// @errors overloaded: the context is too large.
result<siblings> siblings_of(const answer_details& details, const node_config& settings);
/// @param id  of the function in the settings that makes one value of them.
/// @errors internal: it threw, or made too large a value.
result<std::optional<found>> merged_value(const std::string& id, const answer_details& details,
                                          const node_config& settings);
result<elements> elements_of(const answer_details& details, const node_config& settings);
result<fields> fields_of(const answer_details& details, const node_config& settings);

/// get_many, over a session; see snapshot_read.
void read_snapshot(std::shared_ptr<session_impl> session, std::string type, std::vector<std::string> keys,
                   call_options options, std::function<void(result<snapshot>)> done);

} // namespace troupe
