/// The clients of a simulation that use the weaker levels: self-checking workloads, one per promise.
///
///   questions   a causal type: who has read an answer finds the question that it answers, or a later one (C1, T4)
///   pairs       a session type: a writer raises the first of two keys before the second; who has read the second
///               finds the first at least as high (T3); the writer finds what it has written (T1), and nobody's key
///               goes back for anybody (T2)
///   views       eventual counters: in the end each is what was acknowledged, plus any of what is unknown (E2, E3)
///   pages       eventual texts: in the end the same everywhere (E1); some are written and removed for good (E3)
///
/// Every client carries its session from node to node: by its token, when its node dies or it feels like it.
#pragma once

#include "actors/interfaces.hpp"
#include "protocol/cluster.hpp"
#include "runtime/topology/simulated_judge.hpp"
#include "runtime/topology/simulated_world.hpp"
#include "runtime/topology/simulation.hpp"

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace troupe::simulated {

class shoppers {
public:
  shoppers(world& w, const simulation_options& options, judge& j);

  /// The data types that they use, with a durability that the seed chose.
  static void add_types(cluster& shape, const simulation_options& options);

  /// The node has started: sessions are opened by `open` until ended().
  void started(std::uint32_t node, const clock& time, std::function<session_actor()> open);
  void ended(std::uint32_t node);

  void begin();
  /// From now on nothing new is called; or they go on.
  void rest(bool rests) { resting_ = rests; }
  /// Nothing that was called is unanswered.
  bool idle() const;
  void count_anew();
  bool all_served() const;

  /// After everything has healed and nobody writes: reads every key on every node, over and over, until all agree;
  /// then compares with what was acknowledged. Calls itself; done() tells when it is over.
  void compare(nanoseconds at_most);
  bool compared() const { return compared_; }

  std::uint64_t operations() const { return operations_; }
  std::uint64_t done() const { return done_; }
  std::uint64_t moves() const { return moves_; }

private:
  /// What a client does next, as a chain: `then` is asked with the answer and may add more.
  struct planned {
    std::string type, key;
    v1::Operation what;
    std::function<void(const v1::WeakAnswer*)> then; ///< null = not answered: its node is gone
    nanoseconds staleness{0};                        ///< of a read, at level eventual: at most; 0 = as its type says
  };
  struct shopper {
    std::uint32_t index = 0;
    std::uint32_t node = 0;
    std::uint64_t node_life = 0;
    session_actor session;
    v1::SessionVector token; ///< joined from every answer
    std::deque<planned> plan;
    std::optional<planned> open;
    std::uint64_t call = 0; ///< number of the one that is open
    nanoseconds called{0};  ///< when
    bool waiting = false;   ///< a step is under way
    std::uint64_t served = 0;
    std::map<std::string, std::uint64_t> floors; ///< by stored key: the least number that this session may read
    std::uint64_t counted = 0;                   ///< numbers of its own keys given out
  };
  struct place {
    std::uint64_t life = 0;
    bool up = false;
    const clock* time = nullptr;
    std::function<session_actor()> open;
  };
  /// What is known of one counter.
  struct sums {
    std::int64_t acknowledged = 0;
    std::int64_t maybe_more = 0, maybe_less = 0;
  };

  void later(shopper& s);
  void step(shopper& s);
  void issue(shopper& s);
  void answered(shopper& s, const v1::WeakAnswer* answer);
  void move(shopper& s, std::uint32_t node);
  void make_plan(shopper& s);
  planned get(shopper& s, const std::string& type, const std::string& key,
              std::function<void(std::optional<std::uint64_t>)> then);
  planned put_number(shopper& s, const std::string& type, const std::string& key, std::uint64_t number,
                     std::function<void(bool)> then);
  void check_floor(shopper& s, const std::string& stored, std::optional<std::uint64_t> found,
                   std::string_view invariant);
  bool may_be(const std::string& stored, std::uint64_t found) const;
  void raise_floor(shopper& s, const std::string& stored, std::uint64_t number);
  void ask(shopper& s);
  void reply(shopper& s);
  void look(shopper& s);
  void raise_pair(shopper& s);
  void read_pair(shopper& s);
  void count(shopper& s);
  void raise_price(shopper& s);
  void read_fresh(shopper& s);
  std::uint64_t acknowledged_by(const std::string& stored, nanoseconds when) const;
  void write_page(shopper& s);
  void forget_page(shopper& s);
  void compare_round();
  std::optional<std::pair<std::string, std::string>>
  final_complaint(const std::map<std::string, std::optional<std::string>>& state) const;

  world& world_;
  dice& random_;
  const simulation_options options_;
  judge& judge_;
  std::vector<place> places_;
  std::vector<shopper> shoppers_;
  std::map<std::string, sums> counters_;
  /// By stored key: when which number was acknowledged. Of a key with one writer both grow.
  std::map<std::string, std::vector<std::pair<nanoseconds, std::uint64_t>>> acknowledged_;
  /// By stored key: numbers whose write ended as unknown. Each may happen later, over a higher one that its writer
  /// has written since, in another session.
  std::map<std::string, std::set<std::uint64_t>> unsettled_;
  bool lossy_ = false;         ///< a node died while answers came before the disk: what was acknowledged may be gone
  std::set<std::string> keys_; ///< every stored key that was written, or may have been
  std::set<std::string> gone_; ///< removed for good, acknowledged
  bool resting_ = false;
  std::uint64_t operations_ = 0, done_ = 0, moves_ = 0, texts_ = 0;

  // Of compare().
  bool compared_ = false;
  nanoseconds compare_until_{0};
  std::vector<session_actor> readers_;
  std::map<std::string, std::map<std::uint32_t, std::optional<std::string>>> seen_; ///< by key and node
  std::size_t reading_ = 0;
  bool unread_ = false;
  std::uint64_t rounds_ = 0;
};

} // namespace troupe::simulated
