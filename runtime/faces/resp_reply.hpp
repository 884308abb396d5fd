/// Redis replies as bytes. Pure.
#pragma once

#include "protocol/wire/record.pb.h"
#include "protocol/wire/stream.pb.h"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::resp {

/// What a connection has agreed on with HELLO.
enum class version : std::uint8_t { resp2 = 2, resp3 = 3 };

std::string simple(std::string_view text);
std::string integer(std::int64_t number);
std::string bulk(std::string_view bytes);
std::string null(version spoken);
/// "-ERR text". Bytes of `text` that would break the line are replaced.
std::string error(std::string_view text);
/// A header of an aggregate of `count` parts; a map's parts are its pairs, and come twice in RESP2.
std::string array_of(std::size_t count);
std::string set_of(version spoken, std::size_t count);
std::string map_of(version spoken, std::size_t count);
/// "-UNKNOWN timeout: …", "-NOTDONE overloaded: …": the outcome, the code, one sentence, and `detail` when given.
std::string failure(const v1::Result& result, std::string_view detail = {});

/// How the results of a command's operations become its reply.
enum class form : std::uint8_t {
  ready,   ///< the command had no operation; its reply is known already
  ok,      ///< "+OK"
  value,   ///< a bulk string, or null
  number,  ///< the value behind an addition
  removed, ///< how many of the keys, elements or fields existed
  count,   ///< how many were written
  values,  ///< an array: a bulk string or null for each operation
  members, ///< a set of elements; an array in RESP2
  map,     ///< a map of fields; an array of names and values in RESP2
  field,   ///< the value of the one field that is named, or null
  token,   ///< the session's token, which is asked for
};

/// The reply to a command. All of its operations are answered.
/// @param answers  in the order of the operations; never empty. A command of several keys is done key by key: when
/// some
///                 failed, the reply is the gravest of their errors (unknown before not done) and says how many keys
///                 were done, as -PARTIAL when the others are known not to have been.
/// @param field    form::field: which.
std::string render(form as, version spoken, const std::vector<v1::WeakAnswer>& answers, std::string_view field = {});

} // namespace troupe::resp
