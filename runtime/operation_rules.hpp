/// Which operations a data type has, and at which levels: what is refused before anything is sent. Pure.
#pragma once

#include "protocol/cluster.hpp"
#include "protocol/error.hpp"
#include "protocol/wire/strong.pb.h"

#include <optional>
#include <string>
#include <string_view>

namespace troupe {

/// What a read asks of a key.
enum class read_view : std::uint8_t { value, siblings, elements, fields, snapshot };

/// What is asked for beside the operation.
struct call_wishes {
  read_view view = read_view::value;
  std::optional<level> at{}; ///< a weaker level for a read
  bool max_staleness = false;
  bool dependencies = false; ///< it names some
  bool context = false;      ///< it quotes one
  bool fence = false;        ///< it relies on a named lock
};

struct refused_operation {
  errc code = errc::unsupported_operation;
  std::string detail; ///< what the type has instead
};

/// @param name  of the type; for the detail.
/// @return nothing: it may be sent.
std::optional<refused_operation> find_refusal(std::string_view name, const data_type& type,
                                              const v1::Operation& operation, const call_wishes& wishes);

/// The level that a read is promised: the type's, or the weaker one that was asked for; writes are at their type's.
level level_of(const data_type& type, const v1::Operation& operation, const std::optional<level>& at);

} // namespace troupe
