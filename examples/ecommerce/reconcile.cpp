#include "examples/ecommerce/reconcile.hpp"

#include "examples/ecommerce/pipeline.hpp"

#include <troupe/runtime.hpp>

#include <nlohmann/json.hpp>

#include <charconv>

namespace shop {

namespace {

constexpr std::chrono::seconds ready_patience{20};
constexpr std::chrono::seconds read_deadline{10};
constexpr std::chrono::seconds read_grace{2};
constexpr std::size_t reads_at_once = 128;

std::optional<std::int64_t> number_in(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (wrong != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// One comparison of books and shelves.
class auditor {
public:
  auditor(const books& expected, const shelves& seen) : expected_(expected), seen_(seen) {}

  reconciliation audit() {
    out_.items = expected_.items.size();
    out_.orders = expected_.orders.size();
    for (const auto& [key, record] : expected_.orders)
      audit_order(key, record);
    for (const auto& [key, sum] : expected_.items)
      audit_item(key, sum);
    return std::move(out_);
  }

private:
  void audit_order(const std::string& key, const std::string& record) {
    const auto found = seen_.orders.find(key);
    if (found == seen_.orders.end()) {
      ++out_.unread;
    } else if (found->second != record) {
      ++out_.orders_missing;
      note("order " + key + " was acknowledged and " + (found->second ? "has another content" : "is not there"));
    }
  }

  void audit_item(const std::string& key, const account& sum) {
    if (sum.took - sum.returned - sum.maybe_returned > sum.stocked) {
      ++out_.items_oversold;
      note(std::to_string(sum.took) + " units of " + key + " were acknowledged; there were "
           + std::to_string(sum.stocked));
      return;
    }
    const auto found = seen_.stock.find(key);
    if (found == seen_.stock.end()) {
      ++out_.unread;
      return;
    }
    const auto now = found->second ? number_in(*found->second) : std::nullopt;
    if (now && *now < 0) {
      ++out_.items_oversold;
      note("the stock of " + key + " is " + *found->second);
    } else if (!now || *now < sum.least() || *now > sum.most()) {
      ++out_.items_off;
      note("the stock of " + key + " is " + found->second.value_or("absent") + " and has to be from "
           + std::to_string(sum.least()) + " to " + std::to_string(sum.most()));
    }
  }

  void note(std::string finding) {
    if (out_.findings.size() < reconciliation::findings_max) out_.findings.push_back(std::move(finding));
  }

  const books& expected_;
  const shelves& seen_;
  reconciliation out_;
};

/// Reads the keys of a type, many at once; a key that cannot be read is left out.
template <class Keys>
std::map<std::string, std::optional<std::string>> read_all(troupe::session& session, const char* type,
                                                           const Keys& keys) {
  using answer = troupe::result<std::optional<troupe::found>>;
  std::map<std::string, std::optional<std::string>> values;
  pipeline<std::optional<troupe::found>> reads{reads_at_once, read_deadline + read_grace,
                                               [&](const std::string& key, std::optional<answer> a) {
                                                 if (a && *a)
                                                   values[key] = **a ? std::optional{(**a)->value} : std::nullopt;
                                               }};
  for (const auto& [key, ignored] : keys)
    reads.push(key, session.async().get(type, key, {.deadline = read_deadline}));
  reads.drain();
  return values;
}

} // namespace

books add_up(const std::vector<ledger_entry>& entries) {
  books sums;
  for (const auto& entry : entries) {
    if (entry.what == event::ordered) {
      sums.orders[entry.order] = entry.record;
      continue;
    }
    auto& item = sums.items[entry.item];
    switch (entry.what) {
    case event::stocked:
      item.stocked += entry.quantity;
      break;
    case event::took:
      item.took += entry.quantity;
      break;
    case event::maybe_took:
      item.maybe_took += entry.quantity;
      break;
    case event::returned:
      item.returned += entry.quantity;
      break;
    case event::maybe_returned:
      item.maybe_returned += entry.quantity;
      break;
    case event::ordered:
      break;
    }
  }
  return sums;
}

reconciliation reconcile(const books& expected, const shelves& seen) { return auditor{expected, seen}.audit(); }

std::string to_json(const reconciliation& found) {
  return nlohmann::ordered_json{{"items", found.items},
                                {"orders", found.orders},
                                {"orders_missing", found.orders_missing},
                                {"items_oversold", found.items_oversold},
                                {"items_off", found.items_off},
                                {"unread", found.unread},
                                {"findings", found.findings}}
      .dump();
}

tl::expected<reconciliation, std::string> reconciliation_from_json(const std::string& text) {
  try {
    const auto json = nlohmann::ordered_json::parse(text);
    reconciliation found;
    json.at("items").get_to(found.items);
    json.at("orders").get_to(found.orders);
    json.at("orders_missing").get_to(found.orders_missing);
    json.at("items_oversold").get_to(found.items_oversold);
    json.at("items_off").get_to(found.items_off);
    json.at("unread").get_to(found.unread);
    json.at("findings").get_to(found.findings);
    return found;
  } catch (const nlohmann::json::exception& e) {
    return tl::unexpected{std::string{e.what()}};
  }
}

tl::expected<shelves, std::string> look_at_shelves(const books& expected,
                                                   const std::filesystem::path& client_config) {
  auto client = troupe::runtime::start(troupe::config::from_file(client_config));
  if (!client) return tl::unexpected{client.error().message()};
  if (auto ready = client->wait_ready(ready_patience); !ready) return tl::unexpected{ready.error().message()};
  shelves seen;
  auto session = client->open_session();
  seen.orders = read_all(session, "orders", expected.orders);
  seen.stock = read_all(session, "inventory", expected.items);
  return seen;
}

} // namespace shop
