/// Functions of the service that make one value of concurrent ones.
///
///     auto configuration = config::from_file("node.toml")->with_merge("drafts", {.id = "union", .merge = united});
///     auto rt = runtime::start(configuration);
///     rt->open_session().get("drafts", "42"); // what united() makes of all that was written concurrently
///
/// What is stored are the concurrent values themselves: a function is a view of them, and a service that runs another
/// version of it sees something else and harms nobody. A write replaces them, as ever.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace troupe {

struct merge_function {
  std::string id{};          ///< of 1 to 64 bytes; another type's function has another one
  std::uint32_t version = 1; ///< 1 and up; a higher one takes the place of a lower one
  /// Makes one value of two. Pure, and called from several threads; it should not depend on order or repetition:
  /// merge(a, a) = a, merge(a, b) = merge(b, a), merge(merge(a, b), c) = merge(a, merge(b, c)).
  std::function<std::string(std::string_view, std::string_view)> merge{};
  /// A value that the service might write, made of a random number, to try `merge` on; without it, short strings of
  /// few letters and digits are made.
  std::function<std::string(std::uint64_t)> example{};
};

} // namespace troupe
