#include "examples/ecommerce/visits.hpp"

#include <lzma.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sstream>

namespace shop {

namespace {

constexpr std::string_view header = "session_id;user_id;item_id;timeframe;eventdate";
constexpr std::size_t text_bytes_max = std::size_t{1} << 30;
constexpr std::uint64_t decoder_bytes_max = std::uint64_t{128} << 20;
constexpr std::size_t name_bytes_max = 200; ///< of a session or an item: they become parts of keys
constexpr std::int64_t timeframe_max = 86'400'000;

using failure = tl::unexpected<std::string>;

tl::expected<std::string, std::string> decompressed(std::string_view packed, const std::string& name) {
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, decoder_bytes_max, LZMA_CONCATENATED) != LZMA_OK)
    return failure{name + ": no memory to decompress it"};
  const std::unique_ptr<lzma_stream, void (*)(lzma_stream*)> ending{&stream, lzma_end};
  const std::vector<std::uint8_t> input{packed.begin(), packed.end()};
  std::vector<std::uint8_t> block(1U << 16U);
  stream.next_in = input.data();
  stream.avail_in = input.size();
  std::string text;
  for (;;) {
    stream.next_out = block.data();
    stream.avail_out = block.size();
    const auto status = lzma_code(&stream, LZMA_FINISH);
    text.append(block.begin(), block.end() - static_cast<std::ptrdiff_t>(stream.avail_out));
    if (text.size() > text_bytes_max) return failure{name + ": is larger than 1 GiB when decompressed"};
    if (status == LZMA_STREAM_END) return text;
    if (status != LZMA_OK)
      return failure{name + ": is damaged, or not xz (liblzma says " + std::to_string(status) + ")"};
  }
}

/// Exactly five fields, or nothing.
std::optional<std::array<std::string_view, 5>> fields_of(std::string_view line) {
  std::array<std::string_view, 5> fields;
  for (std::size_t i = 0; i + 1 < fields.size(); ++i) {
    const auto end = line.find(';');
    if (end == std::string_view::npos) return std::nullopt;
    fields[i] = line.substr(0, end);
    line.remove_prefix(end + 1);
  }
  if (line.find(';') != std::string_view::npos) return std::nullopt;
  fields.back() = line;
  return fields;
}

bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= name_bytes_max
         && std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

std::optional<std::chrono::milliseconds> time_in(std::string_view text) {
  std::int64_t ms = -1;
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), ms);
  if (wrong != std::errc{} || end != text.data() + text.size() || ms < 0 || ms > timeframe_max) return std::nullopt;
  return std::chrono::milliseconds{ms};
}

void put_in_order(std::vector<view>& views) {
  std::stable_sort(views.begin(), views.end(), [](const view& a, const view& b) { return a.at < b.at; });
  const auto first = views.front().at;
  for (auto& v : views)
    v.at -= first;
}

} // namespace

tl::expected<std::vector<visit>, std::string> parse_visits(std::string_view text, std::string_view name) {
  std::vector<visit> visits;
  std::map<std::string, std::size_t, std::less<>> known; // session -> its place in visits
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = std::min(text.find('\n'), text.size());
    auto line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    auto wrong = [&](const std::string& what) {
      return failure{std::string{name} + ":" + std::to_string(number) + ": " + what};
    };
    if (number == 1) {
      if (line != header) return wrong("the first line has to be " + std::string{header});
      continue;
    }
    if (line.empty()) continue;
    const auto fields = fields_of(line);
    if (!fields) return wrong("has to have five fields with semicolons between them");
    const auto& [session, user, item, timeframe, date] = *fields;
    if (!is_name(session)) return wrong("session_id has to be 1 to 200 printable characters");
    if (!is_name(item)) return wrong("item_id has to be 1 to 200 printable characters");
    const auto at = time_in(timeframe);
    if (!at) return wrong("timeframe has to be a whole number of milliseconds, 0 to 86400000");
    auto place = known.find(session);
    if (place == known.end()) {
      place = known.emplace(session, visits.size()).first;
      visits.push_back({std::string{session}, {}});
    }
    visits[place->second].views.push_back({*at, std::string{item}});
  }
  if (visits.empty()) return failure{std::string{name} + ": has no views"};
  for (auto& one : visits)
    put_in_order(one.views);
  return visits;
}

tl::expected<std::vector<visit>, std::string> read_visits(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  if (!in || std::filesystem::is_directory(file)) return failure{file.string() + ": cannot be read"};
  std::ostringstream bytes;
  bytes << in.rdbuf();
  if (file.extension() != ".xz") return parse_visits(bytes.view(), file.string());
  return decompressed(bytes.view(), file.string()).and_then([&](const std::string& text) {
    return parse_visits(text, file.string());
  });
}

std::vector<visit> generate_visits(std::size_t count, std::uint64_t seed, const traffic& shape) {
  std::mt19937_64 random{seed};
  std::gamma_distribution<double> eagerness{shape.views_dispersion, (shape.views_mean - 1) / shape.views_dispersion};
  std::lognormal_distribution<double> gap{shape.gap_log_mean, shape.gap_log_deviation};
  std::bernoulli_distribution sees_again{shape.again};
  std::vector<double> weights(shape.items);
  for (std::size_t i = 0; i < weights.size(); ++i)
    weights[i] = std::pow(static_cast<double>(i + 1) + shape.popularity_shift, -shape.popularity_exponent);
  std::discrete_distribution<std::size_t> popular{weights.begin(), weights.end()};

  std::vector<visit> visits(count);
  for (std::size_t i = 0; i < count; ++i) {
    auto& one = visits[i];
    one.id = std::to_string(i + 1);
    const auto mean = std::max(eagerness(random), 1e-9); // a Poisson distribution has a positive mean
    const auto more = std::poisson_distribution<std::size_t>{mean}(random);
    const auto views = std::min(1 + more, shape.views_max);
    std::chrono::milliseconds at{0};
    for (std::size_t k = 0; k < views; ++k) {
      if (k > 0)
        at += std::chrono::milliseconds{
            std::llround(std::min(gap(random), static_cast<double>(shape.gap_max.count())))};
      const bool again = k > 0 && sees_again(random);
      const auto seen = again ? std::uniform_int_distribution<std::size_t>{0, k - 1}(random) : 0;
      one.views.push_back({at, again ? one.views[seen].item : "item-" + std::to_string(popular(random) + 1)});
    }
  }
  return visits;
}

} // namespace shop
