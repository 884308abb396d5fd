/// Compares the client's books with what the cluster holds: nothing acknowledged may be missing, nothing sold twice.
#pragma once

#include "examples/ecommerce/ledger.hpp"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace shop {

/// What the ledger says about one item, in units.
struct account {
  std::int64_t stocked = 0;
  std::int64_t took = 0;
  std::int64_t maybe_took = 0;
  std::int64_t returned = 0;
  std::int64_t maybe_returned = 0;

  /// The stock can be no less and no more: every *unknown* happened, or did not.
  std::int64_t least() const { return stocked - took + returned - maybe_took; }
  std::int64_t most() const { return stocked - took + returned + maybe_returned; }
};

/// A ledger, added up.
struct books {
  std::map<std::string, account> items;      ///< by key
  std::map<std::string, std::string> orders; ///< acknowledged ones: key -> record
};
books add_up(const std::vector<ledger_entry>& entries);

/// What the cluster answered. A key that could not be read is in no map; one that it does not hold has no value.
struct shelves {
  std::map<std::string, std::optional<std::string>> stock;
  std::map<std::string, std::optional<std::string>> orders;
};

struct reconciliation {
  std::size_t items = 0;
  std::size_t orders = 0;            ///< acknowledged
  std::size_t orders_missing = 0;    ///< of those: not stored, or with another content
  std::size_t items_oversold = 0;    ///< more units acknowledged than there were, or a stock below zero
  std::size_t items_off = 0;         ///< the stock is not what the acknowledged orders left, the unknown ones granted
  std::size_t unread = 0;            ///< keys that could not be read: nothing is proved about them
  std::vector<std::string> findings; ///< a sentence each; at most findings_max

  static constexpr std::size_t findings_max = 20;
  bool violated() const { return orders_missing + items_oversold + items_off > 0; }
};
reconciliation reconcile(const books& expected, const shelves& seen);

/// As one JSON object, and back from it.
std::string to_json(const reconciliation& found);
tl::expected<reconciliation, std::string> reconciliation_from_json(const std::string& text);

/// Reads every key of the books through a client node of its own.
/// @errors a sentence: the configuration is wrong, or the cluster does not answer.
tl::expected<shelves, std::string> look_at_shelves(const books& expected, const std::filesystem::path& client_config);

} // namespace shop
