#include "tests/support/reader_process.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>
#include <utility>

namespace troupe::test {

namespace {

/// Between two reads of a thread: it shall see what is over, not load the machine.
constexpr std::chrono::milliseconds pace{10};
constexpr std::chrono::milliseconds deadline{500};

std::string program() {
  const char* build = std::getenv("TROUPE_BINARY_DIR");
  if (build == nullptr) throw std::runtime_error{"TROUPE_BINARY_DIR is not set: run the test by ctest"};
  return std::string{build} + "/tests/troupe_test_reader";
}

std::string text_of(std::ifstream in) {
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// Up to the last line that is whole: the next one may have been under way when the process was killed.
std::string whole_lines(std::string text) {
  text.erase(text.rfind('\n') + 1);
  return text;
}

/// The number in the last line; 0 when there is none.
std::uint64_t last_number(const std::filesystem::path& file) {
  constexpr std::streamoff enough = 64; // for two numbers
  std::ifstream in{file, std::ios::binary | std::ios::ate};
  in.seekg(std::max<std::streamoff>(0, in.tellg() - enough));
  auto lines = whole_lines(text_of(std::move(in)));
  if (lines.empty()) return 0;
  lines.pop_back();
  return std::stoull(lines.substr(lines.rfind('\n') + 1));
}

} // namespace

// -- of the trial
// ------------------------------------------------------------------------------------------------------

reader_process::reader_process(trial& run, const std::string& name)
    : run_(run),
      name_(name),
      reads_(run.cluster().folder() / (name + ".reads")),
      errors_(run.cluster().folder() / (name + ".err")) {
  const auto config = run.cluster().folder() / (name + ".toml");
  std::ofstream{config} << run.cluster().client_toml(name);
  std::vector<std::string> command{program(), config.string(), name, reads_.string()};
  for (std::uint32_t shard = 0; shard < run.load().options().shards; ++shard)
    for (const auto& key : {run.load().register_of(shard), run.load().counter_of(shard)})
      command.push_back(key);
  process_ = std::make_unique<child>(command, run.cluster().folder() / (name + ".out"), errors_);
  if (!reads_on(1))
    throw std::runtime_error{name + " reads nothing from its memory:\n" + text_of(std::ifstream{errors_})};
}

void reader_process::kill9() {
  process_->signal(SIGKILL);
  if (!process_->wait(std::chrono::seconds{10})) throw std::runtime_error{name_ + " does not end"};
}

std::uint64_t reader_process::hits() const { return last_number(reads_.string() + std::string{hits_suffix}); }

bool reader_process::reads_on(std::uint64_t more) const {
  const auto before = hits();
  return wait_until(
      [&] {
        if (process_->wait(std::chrono::milliseconds{0}))
          throw std::runtime_error{name_ + " has ended:\n" + text_of(std::ifstream{errors_})};
        return hits() >= before + more;
      },
      trial::patience);
}

std::size_t reader_process::conclude() {
  kill9();
  std::istringstream lines{whole_lines(text_of(std::ifstream{reads_, std::ios::binary}))};
  auto history = check::read_history(lines);
  if (!history) throw std::runtime_error{name_ + ": " + check::to_string(history.error())};
  for (auto& op : history->operations)
    run_.load().record(std::move(op));
  return history->operations.size();
}

// -- of the program
// ----------------------------------------------------------------------------------------------------

namespace {

class reads_file {
public:
  explicit reads_file(const std::string& name) : out_{name, std::ios::binary} {}

  void add(const check::operation& op) {
    const std::lock_guard lock{mutex_};
    check::write_operation(out_, op);
    out_.flush();
  }

private:
  std::mutex mutex_;
  std::ofstream out_;
};

[[noreturn]] void read_key(session own, const std::string& name, const std::string& key, reads_file& out) {
  for (std::uint64_t life = 0;;) {
    check::operation op;
    op.client = "\"" + name + "." + key + "." + std::to_string(life) + "\"";
    op.key = key;
    op.kind = check::op_kind::get;
    op.call = stamp_now();
    const auto answer = own.get(cluster_load::type, key, {deadline});
    op.outcome = answer                      ? check::op_outcome::ok
                 : answer.error().not_done() ? check::op_outcome::fail
                                             : check::op_outcome::unknown;
    if (answer && *answer) op.value = (*answer)->value;
    if (op.outcome == check::op_outcome::unknown)
      ++life; // a client ends with its first unknown
    else
      op.returned = stamp_now();
    out.add(op);
    (void)wait_until([] { return false; }, pace);
  }
}

} // namespace

int read_for_ever(const reader_task& task) {
  auto node = runtime::start(config::from_file(task.config));
  if (!node) {
    std::cerr << node.error().message() << "\n";
    return 1;
  }
  if (const auto ready = node->wait_ready(trial::patience); !ready) {
    std::cerr << ready.error().message() << "\n";
    return 1;
  }
  reads_file out{task.output};
  std::vector<std::thread> threads;
  for (const auto& key : task.keys)
    threads.emplace_back([&] { read_key(node->open_session(), task.name, key, out); });
  std::ofstream hits{task.output + std::string{hits_suffix}, std::ios::binary};
  while (hits) {
    // A status that was asked for while the process was stopped came too late to be complete.
    const auto status = nlohmann::json::parse(node->status_json());
    if (status.contains("memory")) hits << status["memory"].at("hits") << std::endl;
    (void)wait_until([] { return false; }, std::chrono::milliseconds{20});
  }
  std::cerr << task.output << hits_suffix << " cannot be written\n";
  std::_Exit(1); // the threads never end
}

} // namespace troupe::test
