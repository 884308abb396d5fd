#pragma once
/// The history format: what every client asked and was answered, one JSON object a line.
///
/// The recorders (sessions, the simulation, examples) write it, the checkers read it. It says nothing about the
/// system under test: only what its callers saw, with the stamps of one monotonic clock.

#include <tl/expected.hpp>

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::check {

enum class op_kind : std::uint8_t {
  get,
  put,
  cas,
  remove, ///< "delete" in the file
  append,
  add,
  lock,
  unlock,
  incr,
  count,
  set_add,
  set_remove,
  members,
};

enum class op_outcome : std::uint8_t {
  ok,      ///< answered
  fail,    ///< surely without effect, now or later
  unknown, ///< may take effect at any later moment, or never
};

std::string_view to_string(op_kind kind);
std::string_view to_string(op_outcome outcome);

/// One call of one client and what came back.
///
/// Which members carry a meaning depends on `kind`; the others keep their defaults and are not written.
struct operation {
  std::string client; ///< canonical JSON text of a scalar: `3`, `"web-1"`
  std::string key;
  op_kind kind = op_kind::get;
  op_outcome outcome = op_outcome::ok;

  /// put, append, set_add, set_remove: the argument. cas: the new value. get, count: the result, absent = no such
  /// key; an integer in the file is taken as its decimal text, which is how a counter reads.
  std::optional<std::string> value;
  std::optional<std::string> old;     ///< cas: the compared value; absent = the key must be absent
  std::optional<std::int64_t> delta;  ///< add, incr: always there
  std::optional<std::int64_t> floor;  ///< add: refused when the new value would be below; absent = no floor
  std::optional<std::int64_t> result; ///< add, ok and applied: the new value, when the client was told
  std::optional<bool> applied;        ///< cas: always there when ok. add: absent = true. delete: absent = not told
  std::optional<std::int64_t> token;  ///< lock, unlock: the fencing token
  std::optional<std::vector<std::string>> members; ///< members: the answer

  /// ns of the one monotonic clock of the file, closed interval. `call` is absent only in a history that was read
  /// with `stamps::optional`.
  std::optional<std::int64_t> call;
  std::optional<std::int64_t>
      returned; ///< "return" in the file; always there when ok and stamped; absent when unknown

  bool final = false;              ///< a read after quiescence
  std::optional<std::string> ver;  ///< canonical JSON text of the version that the store reported
  std::optional<std::string> node; ///< canonical JSON text of the replica that answered

  std::size_t line = 0; ///< where it stood in the file, from 1; 0 = it came from no file. Not written.

  bool operator==(const operation&) const = default;
};

/// The operations in the order of the file.
struct history {
  std::vector<operation> operations;
};

/// Why a history was refused.
struct parse_error {
  std::size_t line = 0; ///< from 1; 0 = the stream as a whole
  std::string what;
};

/// "line 7: ..." for people.
std::string to_string(const parse_error& error);

enum class stamps : std::uint8_t {
  required, ///< every operation has `call`, and `return` when ok
  optional, ///< none is needed: the lines of one client are its program order (causality)
};

struct read_options {
  stamps time = stamps::required;
  /// A client may go on under its id after an unknown outcome, for who does not ask when a call was over (causality).
  bool may_go_on = false;
  std::size_t line_bytes_max = std::size_t{64} << 20; ///< the largest value (8 MiB), every byte of it escaped
  std::size_t operations_max = 10'000'000;
};

/// Reads a whole history; blank lines and lines that start with `#` are skipped.
///
/// Refused, with the line: malformed JSON, a missing or ill-typed field, `return` before `call`, a client with two
/// calls open, and a client that goes on after an unknown outcome under the same id. Fields that the format does not
/// know, or that the operation does not use, are ignored. That values put are unique per key is not demanded here:
/// a checker that relies on it must look.
tl::expected<history, parse_error> read_history(std::istream& in, const read_options& options = {});

/// Writes one line with a stable order of fields. Text that is not UTF-8 is written with U+FFFD for the bad bytes, so
/// a recorder of binary values encodes them first.
void write_operation(std::ostream& out, const operation& op);

} // namespace troupe::check
