/// Stamps: a hybrid logical clock, one per node.
///
///     stamp_clock clock{self, ceiling_of_the_store};
///     auto s = clock.next(wall_ms, out);   // nothing until the store has a ceiling above it
///     clock.ceiling_durable(persisted);    // when an effect of next() has been carried out
///     clock.saw(stamp_of_an_update);       // later stamps are above it
///
/// Pure: wall-clock time enters as milliseconds since 1970. Not thread-safe. After Kulkarni, Demirbas et al.,
/// "Logical Physical Clocks", 2014; the ceiling keeps a restarted node above all that it gave out, whatever its clock
/// says.
#pragma once

#include "protocol/ids.hpp"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace troupe {

/// When an update was made, as far as anybody can tell: 48 bits of milliseconds above 16 bits of counter. Compared in
/// member order; the origin makes stamps of different nodes differ. clock 0 = none.
struct stamp {
  std::uint64_t clock = 0;
  node_id origin;
  friend constexpr auto operator<=>(const stamp&, const stamp&) = default;
  explicit constexpr operator bool() const { return clock != 0; }

  constexpr std::uint64_t wall_ms() const { return clock >> 16; }
  constexpr std::uint16_t counter() const { return static_cast<std::uint16_t>(clock & 0xFFFFU); }
};

/// "MILLISECONDS.COUNTER@ORIGIN"
std::string to_string(const stamp& s);

class stamp_clock {
public:
  /// Persist `clock`, durably, then call ceiling_durable(clock).
  struct persist_ceiling {
    std::uint64_t clock = 0;
  };
  using effect = std::variant<persist_ceiling>;
  using effects = std::vector<effect>;

  /// How far ahead of the stamps in use a ceiling is persisted: a write of the store per half of it. And by how much
  /// a restart sets the clock ahead, which everybody sees then: several of them in a row have to stay well below
  /// `max_clock_ahead`, or the cluster takes no writes until real time has caught up.
  static constexpr std::uint64_t ceiling_ahead_ms = 2'000;

  /// `ceiling`: the newest that the store holds; 0 on a new disk. No stamp at or below it is ever given out again.
  stamp_clock(node_id origin, std::uint64_t ceiling) : origin_{origin}, last_{ceiling}, durable_{ceiling} {}

  /// max(wall_ms, last + 1, anything seen + 1).
  ///
  /// @return nothing while no durable ceiling covers it (an effect asks for one; ask again when it is durable), or
  /// when
  ///   the clock has reached its end.
  std::optional<stamp> next(std::uint64_t wall_ms, effects& out);

  /// An update of another node, or the token of a session, carries `s`.
  void saw(const stamp& s);
  void ceiling_durable(std::uint64_t clock);

  /// By how much this clock is ahead of `wall_ms`, because of what it has seen; 0 when it is not. A caller compares
  /// it with `max_clock_ahead`.
  std::uint64_t ahead_ms(std::uint64_t wall_ms) const;

private:
  node_id origin_;
  std::uint64_t last_;      ///< given out, seen, or possibly given out before the start
  std::uint64_t durable_;   ///< the ceiling on disk
  std::uint64_t asked_ = 0; ///< the highest ceiling that an effect asked for
};

} // namespace troupe
