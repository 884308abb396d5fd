#include "tests/support/cluster.hpp"

#include <troupe/processes.hpp>

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <httplib.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>

namespace troupe::test {

namespace {

std::string read_file(const std::filesystem::path& file) {
  std::ifstream in{file, std::ios::binary};
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// Opens `file` as descriptor `as`; in the child, between fork and exec: nothing that allocates.
void redirect(const char* file, int as) {
  const int descriptor = ::open(file, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (descriptor >= 0) ::dup2(descriptor, as);
}

/// Of a node that may be stopped or cut off: httplib alone would wait for minutes.
httplib::Client admin_of(const test_node& node) {
  httplib::Client client{node.place.host, node.admin_port};
  client.set_connection_timeout(std::chrono::seconds{2});
  client.set_read_timeout(std::chrono::seconds{2});
  client.set_write_timeout(std::chrono::seconds{2});
  return client;
}

} // namespace

bool wait_until(const std::function<bool()>& condition, std::chrono::milliseconds at_most) {
  const auto end = std::chrono::steady_clock::now() + at_most;
  for (;;) {
    if (condition()) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
    ::poll(nullptr, 0, 10);
  }
}

std::vector<std::uint16_t> free_ports(std::size_t count) {
  auto ports = troupe::free_ports(count);
  if (ports.size() < count) throw std::runtime_error("no free port");
  return ports;
}

temporary_folder::temporary_folder() {
  auto pattern = (std::filesystem::temp_directory_path() / "troupe-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  path_ = pattern;
}

temporary_folder::~temporary_folder() {
  if (keep_ || std::getenv("TROUPE_KEEP") != nullptr) {
    std::cerr << "kept: " << path_.string() << "\n";
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

child::child(const std::vector<std::string>& command, const std::filesystem::path& output,
             const std::filesystem::path& errors) {
  std::vector<char*> words;
  for (const auto& word : command)
    words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error("cannot fork");
  if (pid_ > 0) return;
  ::prctl(PR_SET_PDEATHSIG, SIGKILL); // no orphans when the test itself is killed
  redirect("/dev/null", STDIN_FILENO);
  redirect(output.c_str(), STDOUT_FILENO);
  redirect(errors.c_str(), STDERR_FILENO);
  ::close_range(STDERR_FILENO + 1, ~0U, 0); // sockets of the test's own runtime would outlive their closing
  ::execvp(words[0], words.data());
  ::_exit(127);
}

child::~child() {
  if (ended_) return;
  signal(SIGKILL);
  (void)wait(std::chrono::seconds{10});
}

void child::signal(int number) const {
  if (!ended_) ::kill(pid_, number);
}

std::optional<int> child::wait(std::chrono::milliseconds at_most) {
  wait_until(
      [this] {
        if (ended_) return true;
        int status = 0;
        if (::waitpid(pid_, &status, WNOHANG) != pid_) return false;
        ended_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        return true;
      },
      at_most);
  return ended_;
}

command_result run(const std::vector<std::string>& command, std::chrono::milliseconds at_most) {
  const temporary_folder folder;
  child process{command, folder.path() / "out", folder.path() / "err"};
  if (!process.wait(at_most)) {
    process.signal(SIGKILL);
    (void)process.wait(std::chrono::seconds{10});
  }
  command_result result;
  result.exit_code = process.wait(std::chrono::seconds{0}).value_or(137);
  result.output = read_file(folder.path() / "out");
  result.errors = read_file(folder.path() / "err");
  return result;
}

std::string troupe_binary() {
  const char* build = std::getenv("TROUPE_BINARY_DIR");
  if (build == nullptr) throw std::runtime_error("TROUPE_BINARY_DIR is not set: run the test by ctest");
  return std::string{build} + "/troupe";
}

void test_node::start() {
  auto command = place.launcher;
  for (const auto& word : {troupe_binary(), std::string{"node"}, std::string{"--config"}, config().string()})
    command.push_back(word);
  process_ = std::make_unique<child>(command, folder / "out", folder / "err");
}

bool test_node::running() { return process_ && !process_->wait(std::chrono::milliseconds{0}); }

bool test_node::wait_ready(std::chrono::milliseconds at_most) {
  return wait_until(
             [this] {
               auto client = admin_of(*this);
               const auto answer = client.Get("/readyz");
               return (answer && answer->status == 200) || !running();
             },
             at_most)
         && running();
}

std::optional<std::string> test_node::ask(const std::string& path) const {
  auto client = admin_of(*this);
  const auto answer = client.Get(path);
  return answer ? std::optional{answer->body} : std::nullopt;
}

void test_node::stop() {
  stopped_ = true;
  process_->signal(SIGSTOP);
}

void test_node::cont() {
  stopped_ = false;
  process_->signal(SIGCONT);
}

void test_node::kill9() {
  stopped_ = false;
  process_->signal(SIGKILL);
  (void)process_->wait(std::chrono::seconds{10});
}

std::optional<int> test_node::terminate(std::chrono::milliseconds at_most) {
  process_->signal(SIGTERM);
  return process_->wait(at_most);
}

std::string test_node::log() const { return read_file(folder / "out") + read_file(folder / "err"); }

test_cluster::test_cluster(const cluster_options& options) {
  const auto ports = free_ports(3 * options.nodes);
  for (std::size_t i = 0; i < options.nodes; ++i) {
    auto node = std::make_unique<test_node>();
    node->name = "node-" + std::to_string(i + 1);
    if (!options.places.empty()) node->place = options.places.at(i);
    node->link_port = ports[3 * i];
    node->resp_port = ports[3 * i + 1];
    node->admin_port = ports[3 * i + 2];
    node->folder = folder_.path() / node->name;
    std::filesystem::create_directories(node->folder);
    nodes_.push_back(std::move(node));
  }
  shared_ = shared_toml(options);
  for (const auto& node : nodes_) {
    write_config(options, *node);
    const auto made = run({troupe_binary(), "init", "--config", node->config().string()});
    if (made.exit_code != 0) throw std::runtime_error("troupe init: " + made.errors);
  }
}

std::string test_cluster::shared_toml(const cluster_options& options) const {
  std::ostringstream out;
  out << "[cluster]\nname = \"test\"\nshards = " << options.shards << "\nlease_ms = " << options.lease_ms
      << "\nreplicas = " << std::min<std::size_t>(3, options.nodes) << "\n\n";
  for (std::size_t i = 0; i < nodes_.size(); ++i)
    out << "[[cluster.nodes]]\nname = \"" << nodes_[i]->name << "\"\nid = " << i + 1 << "\nregion = \"r" << i + 1
        << "\"\naddress = \"" << nodes_[i]->place.host << ":" << nodes_[i]->link_port << "\"\n\n";
  out << "[types.inventory]\nlevel = \"strong\"\n\n[types.key]\nlevel = \"strong\"\n\n" << options.shape;
  return out.str();
}

void test_cluster::write_config(const cluster_options& options, const test_node& own) const {
  const auto& host = own.place.host;
  std::ofstream out{own.config()};
  out << shared_ << "\n[node]\nname = \"" << own.name << "\"\ndirectory = \"store\"\n\n[listen]\n"
      << "resp = \"" << host << ":" << own.resp_port << "\"\nadmin = \"" << host << ":" << own.admin_port
      << "\"\n\n[api]\ndeadline_ms = " << options.deadline_ms << "\n";
}

std::string test_cluster::client_toml(const std::string& name) const {
  return shared_ + "\n[node]\nrole = \"client\"\nname = \"" + name + "\"\nregion = \"r1\"\n\n[log]\nfile = \""
         + (folder() / (name + ".log")).string() + "\"\n";
}

bool test_cluster::start(std::chrono::milliseconds at_most) {
  for (const auto& node : nodes_)
    node->start();
  const auto end = std::chrono::steady_clock::now() + at_most;
  for (const auto& node : nodes_) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (node->wait_ready(std::max(left, std::chrono::milliseconds{0}))) continue;
    std::cerr << node->name << " is not ready:\n" << node->log() << "\n";
    return false;
  }
  return true;
}

} // namespace troupe::test
