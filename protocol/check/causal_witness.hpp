#pragma once
/// Why a history breaks causality or a session guarantee: the pattern, and the steps that lead around it, in words.
/// Every step can be looked up in the history, and flaw_of() does that.

#include "protocol/check/causal_graph.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace troupe::check {

/// The bad patterns; the first seven as in Bouajjani, Enea, Guerraoui, Hamza: On Verifying Causal Consistency, POPL
/// 2017.
enum class causal_pattern : std::uint8_t {
  thin_air_read,       ///< a read of what nobody wrote
  cyclic_co,           ///< session order and reads-from go around in a circle
  write_co_init_read,  ///< a read finds nothing although a write of the key comes before it
  write_co_read,       ///< a read is from a write that another one, before the read, has replaced
  cyclic_cf,           ///< no order of the writes explains what all sessions read
  write_hb_init_read,  ///< the same as write_co_init_read, with what one session must conclude from its reads
  cyclic_hb,           ///< no order of the writes explains what one session read
  aborted_read,        ///< a read of what was written by an operation that has failed
  cyclic_arbitration,  ///< no order of the writes explains what the sessions read under one guarantee
  own_write_not_found, ///< a session finds nothing where it has written
  went_back_to_nothing ///< a session finds nothing where it had found something
};
std::string_view name_of(causal_pattern pattern);

/// Why one read or write comes before another. Reads and writes are named by operation, and which of the two of a cas
/// is meant follows from the kind.
struct causal_step {
  enum class kind : std::uint8_t {
    session,    ///< the same session, in its order
    reads_from, ///< a write, and a read from it
    overwrite,  ///< two writes of a key: `reader` reads from the later one, with the earlier one in its past
  };
  kind why = kind::session;
  std::uint32_t from = 0; ///< into history::operations
  std::uint32_t to = 0;
  std::uint32_t reader = 0;        ///< overwrite
  std::vector<std::size_t> past{}; ///< overwrite: steps from `from` to the reader; places in causal_witness::steps
};

struct causal_witness {
  causal_pattern pattern = causal_pattern::thin_air_read;
  std::vector<causal_step> steps{};
  /// Places in `steps`, each of which begins where the one before it ended. Cyclic patterns: the circle. Read
  /// patterns: from the write to the read; write_co_read: from the write that was read, by way of `replaced_by`, to
  /// the read.
  std::vector<std::size_t> chain{};
  std::uint32_t read = 0;        ///< the operation whose answer is wrong; of no meaning for a circle
  std::uint32_t written = 0;     ///< aborted_read: who failed. write_co_read: what was read from
  std::uint32_t replaced_by = 0; ///< write_co_read
};

/// Sentences, each about one or two lines of the history; the last one says what is wrong.
std::vector<std::string> reasons_of(const causal_witness& found, const history& all);

/// What is wrong with the witness itself; empty = every step holds, and they make the pattern.
std::string flaw_of(const causal_witness& found, const history& all);

/// The first read that no write explains; none = every read is from a write, or found nothing.
std::optional<causal_witness> unexplained_read_of(const causal_graph& graph);

/// The operations that the witness names, in the order of the file.
std::vector<std::uint32_t> operations_of(const causal_witness& found);

/// A pattern in words and the operations that make it, for people.
std::string render(const causal_witness& found, const history& all);

/// Finds shortest chains of steps in an order, and puts them into a witness.
class step_finder {
public:
  /// @param plain_pasts  every overwrite was concluded without the help of others; else each by the help of those
  ///                     before it.
  step_finder(const causal_graph& graph, const std::vector<overwrite>& overwrites, causal_witness& into,
              bool plain_pasts = false);

  /// Steps from node `a` to node `b`, by what follows from the session order, reads-from and the first `known`
  /// overwrites. They exist.
  std::vector<std::size_t> path(std::uint32_t a, std::uint32_t b, std::size_t known);
  /// A shortest circle through one of `nodes`, each of which is a part of one or comes after one.
  std::vector<std::size_t> circle(const std::vector<std::uint32_t>& nodes, std::size_t known);
  /// The circle that overwrite `n` closes.
  std::vector<std::size_t> circle_of(std::size_t n);

private:
  struct arrival {
    std::uint32_t from = causal_node::none;
    std::size_t overwrite = 0; ///< number + 1; 0 = session order or reads-from
  };
  bool search(std::uint32_t a, std::uint32_t b, std::size_t known, std::vector<arrival>& came);
  std::vector<std::size_t> steps_back(std::uint32_t a, std::uint32_t b, const std::vector<arrival>& came);
  std::size_t step(std::uint32_t from, std::uint32_t to, std::size_t overwrite);

  const causal_graph& graph_;
  const std::vector<overwrite> overwrites_;
  causal_witness& into_;
  const bool plain_pasts_;
  std::vector<std::vector<std::size_t>> leaving_;  ///< by node: overwrites from it, by number
  std::map<std::size_t, std::size_t> known_steps_; ///< by overwrite: its place in the witness
  std::vector<std::vector<std::uint32_t>> lones_;
};

} // namespace troupe::check
