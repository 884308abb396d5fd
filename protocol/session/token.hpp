/// Session tokens: what a client carries from one node to another, so that its session goes on there (PROTOCOLS §7).
///
///     auto text = seal(keys, content);            // "t1.…", given to the client
///     auto back = open(keys, text, cluster);      // by any node; an error unless it was sealed with one of the keys
///
/// A token is authenticated, not secret: it says sequence numbers and the time of a write, and no key or value. The
/// content is a join semilattice, so that any order and any repetition of what a client hands in is the same.
///
/// Why authenticated: a forged entry would make reads wait for what never comes, and a forged statement about a
/// region's frontier would show an effect without its causes.
#pragma once

#include "protocol/error.hpp"
#include "protocol/version_vector.hpp"

#include <tl/expected.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::session_token {

/// Of a token's text.
inline constexpr std::size_t text_bytes_max = 8 * 1024;
/// Origins that a sealed token speaks of: as many as there may be members, each in its youngest life.
inline constexpr std::size_t entries_max = 64;
inline constexpr std::size_t secret_bytes_min = 32;
inline constexpr std::size_t secret_bytes_max = 128;

/// A secret of the cluster, the same on every node.
struct key {
  std::uint32_t id = 0; ///< 1 and up; 0 = derived from the cluster's name
  std::string secret;   ///< bytes; secret_bytes_min and up
  friend bool operator==(const key&, const key&) = default;
};

/// The first signs, all verify. A new secret is first added behind the others on every node, then moved to the front
/// on every node; the old one goes when no client has a token under it any more. No id stands there twice.
using key_ring = std::vector<key>;

/// "7:00ff…": an id from 1 to 2^32-1, and a secret in hexadecimal digits.
/// @errors what is allowed, for people; the secret is not quoted.
tl::expected<key, std::string> key_in(std::string_view text);
std::string to_string(const key& k);
/// What a cluster without secrets uses. Whoever knows the cluster's name can forge its tokens.
key key_of_name(std::string_view cluster_name);

/// Why there is no token, or nothing in it.
struct refusal {
  errc code = errc::bad_token;
  std::string detail; ///< a sentence; quotes nothing of a token
};

/// What a token says.
struct content {
  version_vector seen;     ///< ordered lane: read or written
  version_vector region;   ///< of the frontier of the region `place`: a statement that came with an answer
  std::uint64_t place = 0; ///< hash_of(the region's name); 0 = `region` is empty
  std::uint64_t clock = 0; ///< highest stamp seen; 0 = none
  /// By node: it also needs whatever survived of this life and of those before it. Every life of the node in `seen`
  /// is a later one. See collapse().
  std::map<node_id, std::uint64_t> earlier;

  friend bool operator==(const content&, const content&) = default;

  /// Least upper bound, into this one. Statements about the frontiers of two regions are not joined: those of the
  /// higher `place` are kept, for to know less of a frontier is safe.
  void join(const content& other);
  /// Whether who has seen this has seen all of `other`.
  bool contains(const content& other) const;
  /// Drops what the stable frontier covers: every region shows it.
  void compact(const version_vector& stable);
  /// Makes `seen` have at most `most` entries: those of all but the youngest life of a node, from the lowest node and
  /// life on, give way to the demand for everything that survived of these lives. That is what was seen and more, up
  /// to numbers that exist; never less, but for what survived nowhere.
  /// @return false: every entry is of a youngest life, and there are more than `most`.
  bool collapse(std::size_t most = entries_max);
  /// The reverse, by a node that knows how earlier lives have ended.
  /// @param ended  the last number that survived of ended lives, 0 = none did; of a node all lives up to the highest
  ///               that is named. In any order.
  /// @errors dependency_timeout: it is not known here yet how one of the lives has ended; nothing is changed.
  tl::expected<void, refusal> expand(const std::vector<dot>& ended);
};

/// Of a cluster's or a region's name.
std::uint64_t hash_of(std::string_view name);

/// What a session knows, in the form in which it travels between actors. `earlier` has no place there: expand()
/// first.
void to_wire(const content& what, v1::SessionVector& out);
/// @param place  the region whose frontier `s` speaks of.
content from_wire(const v1::SessionVector& s, std::uint64_t place);
/// The same without what is said of another region's frontier than `place`: a session that goes on elsewhere.
content taken_to(std::uint64_t place, content what);

/// The token's text: at most text_bytes_max printable characters, none of which an URL or a header would change. Of
/// the region's frontier it says only what concerns origins that it has seen something of. What `what` has of too
/// many lives is collapsed.
/// @param keys  not empty.
/// @errors overloaded: more than entries_max origins, all of them in their youngest life.
tl::expected<std::string, refusal> seal(const key_ring& keys, std::string_view cluster_name, content what);

/// The content of a text that seal() made with one of `keys` for this cluster. Anything else is an error, never an
/// empty token; what is wrong is said no more precisely than who made it may know.
/// @errors bad_token.
tl::expected<content, refusal> open(const key_ring& keys, std::string_view cluster_name, std::string_view text);

/// The context of a read of concurrent values: what a write that quotes it replaces. Sealed, too, so that nobody can
/// name versions that do not exist yet, which would never be seen. Not a token, and no token is one.
/// @errors overloaded: it would be longer than text_bytes_max.
tl::expected<std::string, refusal> seal_context(const key_ring& keys, std::string_view cluster_name,
                                                const version_vector& context);
/// @errors bad_token.
tl::expected<version_vector, refusal> open_context(const key_ring& keys, std::string_view cluster_name,
                                                   std::string_view text);

/// What a text claims, for people, without a key: nothing in it may be relied on.
struct claim {
  std::uint32_t key_id = 0;
  std::uint64_t cluster = 0; ///< hash of its name
  content what;
};
/// @errors bad_token: it has not even the form of a token.
tl::expected<claim, refusal> peek(std::string_view text);

} // namespace troupe::session_token
