/// An operation as a client words it, before a session has numbered it. Pure.
#pragma once

#include "protocol/cluster.hpp"
#include "protocol/error.hpp"
#include "protocol/wire/stream.pb.h"
#include "protocol/wire/strong.pb.h"
#include "runtime/operation_rules.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// An operation on one key of a data type.
struct typed_operation {
  std::string type;
  std::string key;
  v1::Operation operation; ///< only `what` is set, and `fence`; about a named lock, `key` and `shard`, too
  read_view view = read_view::value;
  std::optional<level> at{}; ///< a weaker level for a read
  v1::WeakOperation extra{}; ///< as in session_call
};

/// "get", "compare_and_set", "acquire_lock": as in the messages.
std::string_view name_of(v1::Operation::WhatCase what);

inline errc code_of(const v1::Result& result) { return static_cast<errc>(result.error()); }

/// A result that a face makes itself.
v1::Result failed(errc code);

/// What can be known to be wrong before anything is sent: unknown_type, key_too_long, value_too_large, or none.
errc find_mistake(const cluster& shape, const typed_operation& asked);

/// Whether the type has such an operation, at such a level.
/// @param asked  of a type of `shape`, not about a named lock.
std::optional<refused_operation> find_refusal(const cluster& shape, const typed_operation& asked);

/// The data types of the configuration, for people: "cart, inventory".
std::string type_names(const cluster& shape);

} // namespace troupe
