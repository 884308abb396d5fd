#include "runtime/history_recorder.hpp"

#include <sstream>

namespace troupe {

namespace {

constexpr std::string_view hex_mark = "hex:";

/// How many bytes the UTF-8 character at `at` has; 0 = none is there (overlong forms and surrogates are none).
std::size_t utf8_length(std::string_view text, std::size_t at) {
  auto byte = [&](std::size_t i) { return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0U; };
  auto follows = [&](std::size_t i) { return (byte(i) & 0xC0U) == 0x80U; };
  const auto first = byte(0);
  if (first < 0x80U) return 1;
  if (first >= 0xC2U && first <= 0xDFU) return follows(1) ? 2 : 0;
  if (first >= 0xE0U && first <= 0xEFU) {
    if (!follows(1) || !follows(2)) return 0;
    if (first == 0xE0U && byte(1) < 0xA0U) return 0;
    return first == 0xEDU && byte(1) > 0x9FU ? 0 : 3;
  }
  if (first >= 0xF0U && first <= 0xF4U) {
    if (!follows(1) || !follows(2) || !follows(3)) return 0;
    if (first == 0xF0U && byte(1) < 0x90U) return 0;
    return first == 0xF4U && byte(1) > 0x8FU ? 0 : 4;
  }
  return 0;
}

bool is_utf8(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const auto length = utf8_length(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

std::size_t bytes_of(const check::operation& line) {
  return line.key.size() + (line.value ? line.value->size() : 0) + (line.old ? line.old->size() : 0);
}

/// Drops what a writer that was killed left behind the last line.
void drop_half_line(const std::filesystem::path& file) {
  std::error_code none;
  const auto size = std::filesystem::file_size(file, none);
  if (none || size == 0) return;
  constexpr std::uintmax_t block = 65'536;
  std::ifstream in{file, std::ios::binary};
  std::string text;
  for (auto end = size; end > 0;) {
    const auto begin = end > block ? end - block : 0;
    text.resize(end - begin);
    in.seekg(static_cast<std::streamoff>(begin));
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (!in) return;
    if (const auto newline = text.rfind('\n'); newline != std::string::npos) {
      if (begin + newline + 1 < size) std::filesystem::resize_file(file, begin + newline + 1);
      return;
    }
    end = begin;
  }
  std::filesystem::resize_file(file, 0);
}

} // namespace

tl::expected<std::unique_ptr<history_recorder>, std::string> history_recorder::open(const std::filesystem::path& file,
                                                                                    bounds limit) {
  try {
    drop_half_line(file);
  } catch (const std::filesystem::filesystem_error& e) {
    return tl::unexpected{"the history file " + file.string() + " cannot be written: " + e.code().message()};
  }
  std::unique_ptr<history_recorder> recorder{new history_recorder{file, limit}};
  if (!recorder->out_) return tl::unexpected{"the history file " + file.string() + " cannot be written"};
  recorder->writer_ = std::thread{[r = recorder.get()] { r->write_lines(); }};
  return recorder;
}

history_recorder::history_recorder(std::filesystem::path file, bounds limit)
    : file_(std::move(file)), limit_(limit), out_(file_, std::ios::binary | std::ios::app) {}

history_recorder::~history_recorder() { (void)close(); }

errc history_recorder::begin() {
  const std::lock_guard lock{mutex_};
  if (failed_ || closing_) return errc::storage_failed;
  if (open_ + waiting_.size() >= limit_.operations_max || waiting_bytes_ >= limit_.bytes_max) return errc::overloaded;
  ++open_;
  return errc::none;
}

void history_recorder::end(check::operation line) {
  {
    const std::lock_guard lock{mutex_};
    --open_;
    if (closing_) failed_ = true; // too late to be written
    if (failed_) return;
    waiting_bytes_ += bytes_of(line);
    waiting_.push_back(std::move(line));
  }
  changed_.notify_one();
}

tl::expected<void, std::string> history_recorder::close() {
  {
    const std::lock_guard lock{mutex_};
    closing_ = true;
    if (open_ > 0) failed_ = true;
  }
  changed_.notify_one();
  if (writer_.joinable()) writer_.join();
  const std::lock_guard lock{mutex_};
  if (failed_) return tl::unexpected{"the history file " + file_.string() + " is incomplete"};
  return {};
}

void history_recorder::write_lines() {
  std::vector<check::operation> lines;
  for (;;) {
    {
      std::unique_lock lock{mutex_};
      changed_.wait(lock, [&] { return closing_ || !waiting_.empty(); });
      if (waiting_.empty()) return;
      lines.swap(waiting_);
      waiting_bytes_ = 0;
    }
    for (const auto& line : lines)
      check::write_operation(out_, line);
    out_.flush();
    lines.clear();
    if (out_) continue;
    const std::lock_guard lock{mutex_};
    failed_ = true;
    waiting_.clear();
  }
}

std::string history_text(std::string_view bytes) {
  if (!bytes.starts_with(hex_mark) && is_utf8(bytes)) return std::string{bytes};
  constexpr std::string_view digits = "0123456789abcdef";
  std::string out{hex_mark};
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += digits[byte >> 4U];
    out += digits[byte & 15U];
  }
  return out;
}

std::uint64_t history_clients::take() {
  const std::lock_guard lock{mutex_};
  if (free_.empty()) return ++last_;
  const auto id = free_.back();
  free_.pop_back();
  return id;
}

void history_clients::give_back(std::uint64_t id) {
  const std::lock_guard lock{mutex_};
  free_.push_back(id);
}

std::string history_clients::name_of(std::uint64_t id) const {
  std::ostringstream out;
  out << "\"" << std::hex << session_ << "." << std::dec << id << "\"";
  return out.str();
}

} // namespace troupe
