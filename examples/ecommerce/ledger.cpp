#include "examples/ecommerce/ledger.hpp"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>

namespace shop {

namespace {

using nlohmann::ordered_json;
using failure = tl::unexpected<std::string>;

constexpr std::chrono::seconds disk_patience{30};
constexpr std::array<std::string_view, 6> event_names{"stocked",  "took",           "maybe_took",
                                                      "returned", "maybe_returned", "ordered"};

std::optional<event> event_named(std::string_view name) {
  for (std::size_t i = 0; i < event_names.size(); ++i)
    if (event_names[i] == name) return static_cast<event>(i);
  return std::nullopt;
}

std::string line_of(const ledger_entry& entry) {
  ordered_json line{{"event", event_names[static_cast<std::size_t>(entry.what)]}};
  if (!entry.order.empty()) line["order"] = entry.order;
  if (entry.what == event::ordered) {
    line["record"] = entry.record;
  } else {
    line["item"] = entry.item;
    line["quantity"] = entry.quantity;
  }
  return line.dump() + "\n";
}

tl::expected<ledger_entry, std::string> entry_in(const std::string& text) {
  const auto line = ordered_json::parse(text, nullptr, false);
  if (!line.is_object()) return failure{"is not a JSON object"};
  auto word = [&](const char* field) {
    const auto found = line.find(field);
    return found != line.end() && found->is_string() ? found->get<std::string>() : std::string{};
  };
  const auto what = event_named(word("event"));
  if (!what) return failure{"has no event that a ledger knows"};
  ledger_entry entry{*what, word("order"), word("item"), 0, word("record")};
  if (entry.order.empty() && *what != event::stocked) return failure{"names no order"};
  if (*what == event::ordered) return entry;
  const auto quantity = line.find("quantity");
  if (entry.item.empty() || quantity == line.end() || !quantity->is_number_integer() || *quantity < 0)
    return failure{"needs an item, and a quantity of 0 or more"};
  entry.quantity = quantity->get<std::int64_t>();
  return entry;
}

} // namespace

tl::expected<std::unique_ptr<ledger>, std::string> ledger::create(const std::filesystem::path& file) {
  const int descriptor = ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
  if (descriptor < 0) return failure{file.string() + ": " + std::generic_category().message(errno)};
  return std::unique_ptr<ledger>{new ledger{file, descriptor}};
}

ledger::ledger(std::filesystem::path file, int descriptor)
    : file_(std::move(file)), descriptor_(descriptor), writer_([this] { write_batches(); }) {}

ledger::~ledger() {
  {
    const std::lock_guard lock{mutex_};
    closing_ = true;
  }
  changed_.notify_all();
  writer_.join();
  ::close(descriptor_);
}

tl::expected<void, std::string> ledger::enter(const std::vector<ledger_entry>& entries) {
  std::string lines;
  for (const auto& entry : entries)
    lines += line_of(entry);
  std::unique_lock lock{mutex_};
  waiting_ += lines;
  const auto mine = ++entered_;
  changed_.notify_all();
  const bool answered = changed_.wait_for(lock, disk_patience, [&] { return durable_ >= mine || failed_; });
  if (durable_ >= mine) return {};
  return failure{file_.string() + (answered ? ": cannot be written or synced" : ": the disk does not answer")};
}

void ledger::write_batches() {
  std::unique_lock lock{mutex_};
  for (;;) {
    changed_.wait(lock, [&] { return closing_ || !waiting_.empty(); });
    if (waiting_.empty() || failed_) return;
    const auto batch = std::exchange(waiting_, {});
    const auto last = entered_;
    lock.unlock();
    const bool written = write_and_sync(batch);
    lock.lock();
    if (written)
      durable_ = last;
    else
      failed_ = true;
    changed_.notify_all();
  }
}

bool ledger::write_and_sync(std::string_view batch) const {
  while (!batch.empty()) {
    const auto written = ::write(descriptor_, batch.data(), batch.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    batch.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::fdatasync(descriptor_) == 0;
}

tl::expected<std::vector<ledger_entry>, std::string> read_ledger(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  if (!in || std::filesystem::is_directory(file)) return failure{file.string() + ": cannot be read"};
  std::vector<ledger_entry> entries;
  std::string line;
  for (std::size_t number = 1; std::getline(in, line) && !in.eof(); ++number) {
    auto entry = entry_in(line);
    if (!entry) return failure{file.string() + ":" + std::to_string(number) + ": " + entry.error()};
    entries.push_back(std::move(*entry));
  }
  return entries;
}

} // namespace shop
