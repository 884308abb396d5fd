#include "protocol/session/token.hpp"

#include "protocol/assert.hpp"
#include "protocol/mutation.hpp"
#include "protocol/wire/session.pb.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace troupe::session_token {

namespace {

/// Of the form below. Another form gets another one.
constexpr std::string_view token_prefix = "t1.";
constexpr std::string_view context_prefix = "c1.";
/// Behind the prefix, in base64url: key id (little endian), a v1::SessionToken, HMAC-SHA-256 of prefix, id and token.
constexpr std::size_t id_bytes = 4;
constexpr std::size_t mac_bytes = 32;
using mac = std::array<unsigned char, mac_bytes>;

constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
constexpr std::string_view hex_digits = "0123456789abcdef";

std::uint32_t byte_at(std::string_view bytes, std::size_t i) { return static_cast<unsigned char>(bytes[i]); }

std::string encoded(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() * 4 + 2) / 3);
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    held = (held << 8U | byte_at(bytes, i)) & 0xFFFFU;
    for (bits += 8; bits >= 6;) {
      bits -= 6;
      out += alphabet[held >> bits & 63U];
    }
  }
  if (bits > 0) out += alphabet[held << (6 - bits) & 63U];
  return out;
}

/// Nothing for anything that encoded() does not make: each text of bytes has one spelling.
std::optional<std::string> decoded(std::string_view text) {
  std::string out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t held = 0;
  unsigned bits = 0;
  for (const char c : text) {
    const auto digit = alphabet.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    held = (held << 6U | static_cast<std::uint32_t>(digit)) & 0xFFFFU;
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out += static_cast<char>(held >> bits & 0xFFU);
  }
  if (bits >= 6 || (held & ((1U << bits) - 1U)) != 0) return std::nullopt;
  return out;
}

std::string spelled_id(std::uint32_t id) {
  std::string out;
  for (unsigned shift = 0; shift < 32; shift += 8)
    out += static_cast<char>(id >> shift & 0xFFU);
  return out;
}

mac mac_of(std::string_view secret, std::string_view text) {
  mac out;
  unsigned size = 0;
  const auto* done =
      HMAC(EVP_sha256(), secret.data(), static_cast<int>(secret.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &size); // NOLINT: of OpenSSL
  TROUPE_ASSERT(done != nullptr && size == mac_bytes);
  return out;
}

refusal bad(std::string_view why) { return {errc::bad_token, std::string{why}}; }

/// A token taken apart, its content not looked at.
struct parts {
  std::uint32_t id = 0;
  std::string bytes; ///< everything behind the prefix, decoded
  std::string_view signed_part() const { return std::string_view{bytes}.substr(0, bytes.size() - mac_bytes); }
  std::string_view payload() const { return signed_part().substr(id_bytes); }
  std::string_view code() const { return std::string_view{bytes}.substr(bytes.size() - mac_bytes); }
};

tl::expected<parts, refusal> take_apart(std::string_view prefix, std::string_view text) {
  if (text.size() > text_bytes_max) return tl::unexpected{bad("it is longer than one may be")};
  if (!text.starts_with(prefix)) return tl::unexpected{bad("it does not begin as one of this version does")};
  auto bytes = decoded(text.substr(prefix.size()));
  if (!bytes || bytes->size() < id_bytes + mac_bytes)
    return tl::unexpected{bad("it is cut off, or changed on its way")};
  parts found;
  found.bytes = std::move(*bytes);
  for (std::size_t i = 0; i < id_bytes; ++i)
    found.id |= byte_at(found.bytes, i) << (8 * i);
  return found;
}

/// Columns of one length, rows in order: what seal() writes, and nothing else.
bool well_formed(const v1::SessionToken& t) {
  const int rows = t.node_size();
  if (t.life_size() != rows || t.seen_size() != rows || t.region_size() != rows) return false;
  if (t.earlier_life_size() != t.earlier_node_size()) return false;
  origin last;
  for (int i = 0; i < rows; ++i) {
    const origin from{{t.node(i)}, t.life(i)};
    if (!from || from <= last) return false;
    last = from;
  }
  std::uint32_t before = 0;
  for (int i = 0; i < t.earlier_node_size(); ++i) {
    if (t.earlier_node(i) <= before || t.earlier_life(i) == 0) return false;
    before = t.earlier_node(i);
  }
  return true;
}

std::optional<content> content_of(const v1::SessionToken& t) {
  if (!well_formed(t)) return std::nullopt;
  content out;
  out.place = t.place();
  out.clock = t.clock();
  for (int i = 0; i < t.node_size(); ++i) {
    out.seen.raise({{t.node(i)}, t.life(i)}, t.seen(i));
    if (out.place != 0) out.region.raise({{t.node(i)}, t.life(i)}, t.region(i));
  }
  for (int i = 0; i < t.earlier_node_size(); ++i)
    out.earlier.emplace(node_id{t.earlier_node(i)}, t.earlier_life(i));
  return out;
}

v1::SessionToken message_of(std::string_view cluster_name, const content& what) {
  v1::SessionToken out;
  out.set_cluster(hash_of(cluster_name));
  out.set_place(what.place);
  out.set_clock(what.clock);
  for (const auto& e : what.seen.entries()) {
    out.add_node(e.from.node.value);
    out.add_life(e.from.life);
    out.add_seen(e.seq);
    out.add_region(what.region.at(e.from));
  }
  for (const auto& [node, life] : what.earlier) {
    out.add_earlier_node(node.value);
    out.add_earlier_life(life);
  }
  return out;
}

/// Drops what a demand for earlier lives includes.
void drop_included(version_vector& seen, const std::map<node_id, std::uint64_t>& earlier) {
  if (earlier.empty()) return;
  std::vector<origin> included;
  for (const auto& e : seen.entries())
    if (const auto i = earlier.find(e.from.node); i != earlier.end() && e.from.life <= i->second)
      included.push_back(e.from);
  for (const auto& from : included)
    seen.erase(from);
}

} // namespace

// -- keys

tl::expected<key, std::string> key_in(std::string_view text) {
  const std::string allowed = "an id from 1 to 4294967295, a colon, and " + std::to_string(2 * secret_bytes_min)
                              + " to " + std::to_string(2 * secret_bytes_max) + " hexadecimal digits";
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return tl::unexpected{allowed};
  key found;
  const auto* const last = text.data() + colon;
  const auto [stop, wrong] = std::from_chars(text.data(), last, found.id);
  if (wrong != std::errc{} || stop != last || found.id == 0) return tl::unexpected{allowed};
  const auto digits = text.substr(colon + 1);
  if (digits.size() % 2 != 0 || digits.size() < 2 * secret_bytes_min || digits.size() > 2 * secret_bytes_max)
    return tl::unexpected{allowed};
  for (std::size_t i = 0; i < digits.size(); i += 2) {
    std::uint8_t byte = 0;
    const auto* const end = digits.data() + i + 2;
    const auto [to, bad_digit] = std::from_chars(digits.data() + i, end, byte, 16);
    if (bad_digit != std::errc{} || to != end) return tl::unexpected{allowed};
    found.secret += static_cast<char>(byte);
  }
  return found;
}

std::string to_string(const key& k) {
  auto text = std::to_string(k.id) + ":";
  for (std::size_t i = 0; i < k.secret.size(); ++i)
    text += {hex_digits[byte_at(k.secret, i) >> 4U], hex_digits[byte_at(k.secret, i) & 15U]};
  return text;
}

key key_of_name(std::string_view cluster_name) {
  const auto secret = mac_of("troupe session tokens of a cluster without a secret", cluster_name);
  return {0, std::string{secret.begin(), secret.end()}};
}

std::uint64_t hash_of(std::string_view name) { return XXH3_64bits(name.data(), name.size()); }

// -- content

void content::join(const content& other) {
  seen.join(other.seen);
  for (const auto& [node, life] : other.earlier) {
    auto& mine = earlier[node];
    mine = std::max(mine, life);
  }
  drop_included(seen, earlier);
  if (other.place > place) {
    place = other.place;
    region = other.region;
  } else if (other.place == place && place != 0) {
    region.join(other.region);
  }
  clock = std::max(clock, other.clock);
}

bool content::contains(const content& other) const {
  for (const auto& [node, life] : other.earlier)
    if (const auto mine = earlier.find(node); mine == earlier.end() || mine->second < life) return false;
  auto needed = other.seen;
  drop_included(needed, earlier);
  return seen.contains(needed) && clock >= other.clock;
}

void content::compact(const version_vector& stable) {
  seen.forget(stable);
  region.forget(stable);
}

bool content::collapse(std::size_t most) {
  if (seen.size() <= most) return true;
  // Sorted by node, then life: an entry is of an earlier life when the next one is of the same node.
  std::vector<origin> given_up;
  const auto& entries = seen.entries();
  for (std::size_t i = 0; i + 1 < entries.size() && seen.size() - given_up.size() > most; ++i)
    if (entries[i].from.node == entries[i + 1].from.node) given_up.push_back(entries[i].from);
  for (const auto& from : given_up) {
    seen.erase(from);
    if (!mutated(mutation::collapse_forgets)) earlier[from.node] = from.life; // the lives of a node come in order
  }
  return seen.size() <= most;
}

tl::expected<void, refusal> content::expand(const std::vector<dot>& ended) {
  for (const auto& [node, life] : earlier) {
    const bool known = std::any_of(ended.begin(), ended.end(), [&, n = node, upto = life](const dot& d) {
      return d.from.node == n && d.from.life >= upto;
    });
    if (!known)
      return tl::unexpected{
          refusal{errc::dependency_timeout,
                  "it is not known here yet how the life " + troupe::to_string(origin{node, life}) + " has ended"}};
  }
  for (const auto& d : ended)
    if (const auto i = earlier.find(d.from.node); i != earlier.end() && d.from.life <= i->second) seen.raise(d);
  earlier.clear();
  return {};
}

void to_wire(const content& what, v1::SessionVector& out) {
  troupe::to_wire(what.seen, *out.mutable_seen());
  troupe::to_wire(what.region, *out.mutable_region());
  out.set_clock(what.clock);
}

content from_wire(const v1::SessionVector& s, std::uint64_t place) {
  content out;
  out.seen = troupe::from_wire(s.seen());
  if (place != 0) out.region = troupe::from_wire(s.region());
  out.place = place;
  out.clock = s.clock();
  return out;
}

content taken_to(std::uint64_t place, content what) {
  if (what.place == place) return what;
  what.place = place;
  what.region = {};
  return what;
}

// -- the text

namespace {

std::string sealed(std::string_view prefix, const key& by, const v1::SessionToken& message) {
  const auto signed_part = spelled_id(by.id) + message.SerializeAsString();
  const auto code = mac_of(by.secret, std::string{prefix} + signed_part);
  return std::string{prefix} + encoded(signed_part + std::string{code.begin(), code.end()});
}

tl::expected<content, refusal> read(const v1::SessionToken& message) {
  auto what = content_of(message);
  if (!what) return tl::unexpected{bad("what is in it makes no sense")};
  return std::move(*what);
}

tl::expected<v1::SessionToken, refusal> message_in(const parts& found) {
  v1::SessionToken message;
  if (!message.ParseFromArray(found.payload().data(), static_cast<int>(found.payload().size())))
    return tl::unexpected{bad("what is in it cannot be read")};
  return message;
}

tl::expected<content, refusal> opened(std::string_view prefix, const key_ring& keys, std::string_view cluster_name,
                                      std::string_view text) {
  const auto found = take_apart(prefix, text);
  if (!found) return tl::unexpected{found.error()};
  const auto by = std::find_if(keys.begin(), keys.end(), [&](const key& k) { return k.id == found->id; });
  if (by == keys.end())
    return tl::unexpected{
        bad("it was sealed with the key " + std::to_string(found->id) + ", which is not known here")};
  const auto code = mac_of(by->secret, std::string{prefix} + std::string{found->signed_part()});
  if (CRYPTO_memcmp(code.data(), found->code().data(), mac_bytes) != 0 && !mutated(mutation::token_not_verified))
    return tl::unexpected{bad("it does not verify: it was cut off or changed, or sealed with another key")};
  const auto message = message_in(*found);
  if (!message) return tl::unexpected{message.error()};
  if (message->cluster() != hash_of(cluster_name)) return tl::unexpected{bad("it is of another cluster")};
  return read(*message);
}

} // namespace

tl::expected<std::string, refusal> seal(const key_ring& keys, std::string_view cluster_name, content what) {
  TROUPE_ASSERT(!keys.empty());
  if (!what.collapse())
    return tl::unexpected{refusal{errc::overloaded, "the session has seen updates of more than "
                                                        + std::to_string(entries_max) + " nodes"}};
  auto text = sealed(token_prefix, keys.front(), message_of(cluster_name, what));
  TROUPE_ASSERT(text.size() <= text_bytes_max);
  return text;
}

tl::expected<content, refusal> open(const key_ring& keys, std::string_view cluster_name, std::string_view text) {
  return opened(token_prefix, keys, cluster_name, text);
}

tl::expected<std::string, refusal> seal_context(const key_ring& keys, std::string_view cluster_name,
                                                const version_vector& context) {
  TROUPE_ASSERT(!keys.empty());
  content what;
  what.seen = context;
  auto text = sealed(context_prefix, keys.front(), message_of(cluster_name, what));
  if (text.size() > text_bytes_max)
    return tl::unexpected{refusal{errc::overloaded, "the context of the values is larger than may be quoted"}};
  return text;
}

tl::expected<version_vector, refusal> open_context(const key_ring& keys, std::string_view cluster_name,
                                                   std::string_view text) {
  auto what = opened(context_prefix, keys, cluster_name, text);
  if (!what) return tl::unexpected{std::move(what.error())};
  return std::move(what->seen);
}

tl::expected<claim, refusal> peek(std::string_view text) {
  const auto found = take_apart(token_prefix, text);
  if (!found) return tl::unexpected{found.error()};
  const auto message = message_in(*found);
  if (!message) return tl::unexpected{message.error()};
  auto what = read(*message);
  if (!what) return tl::unexpected{std::move(what.error())};
  return claim{found->id, message->cluster(), std::move(*what)};
}

} // namespace troupe::session_token
