/// troupe init: makes the store of a node, once; or prints an example of a configuration.
#include "actors/layers/rocksdb_store.hpp"
#include "runtime/cli/commands.hpp"
#include "runtime/config_file.hpp"

#include <iostream>
#include <memory>
#include <string>

namespace troupe::cli {

namespace {

int make_store(const std::string& file) {
  const auto config = read_config(file);
  if (!config) {
    for (const auto& problem : config.error())
      std::cerr << problem << "\n";
    return bad_usage;
  }
  if (config->is_client()) {
    std::cerr << file << ": " << config->name << " is a client node, which has no store\n";
    return bad_usage;
  }
  rocksdb_options options;
  options.directory = config->directory;
  options.cluster = config->shape.name;
  options.node = config->self;
  const auto made = create_store(options);
  if (!made) {
    std::cerr << "troupe init: " << made.error().what << "\n";
    return not_done;
  }
  std::cout << "initialized " << config->directory.string() << " for node " << config->name << " of cluster "
            << config->shape.name << "\n";
  return done;
}

int print_example(const std::string& node) {
  const auto config = example_config(node);
  if (config.is_client()) {
    std::cerr << "troupe init: the example has the nodes eu-1, us-1 and ap-1\n";
    return bad_usage;
  }
  std::cout << print_config(config);
  return done;
}

struct init_options {
  std::string file;
  std::string example;
};

} // namespace

void add_init(CLI::App& app, action& chosen) {
  auto given = std::make_shared<init_options>();
  auto* command = app.add_subcommand("init", "Make the store of a node, in an empty or new directory");
  auto* input = command->add_option_group("what");
  input->add_option("--config", given->file, "The node's configuration (TOML)")->type_name("FILE");
  input->add_option("--example", given->example, "Print the configuration of a node of a cluster on this machine")
      ->type_name("eu-1|us-1|ap-1")
      ->expected(0, 1)
      ->default_str("eu-1");
  input->require_option(1);
  command->callback([given, command, &chosen] {
    const bool example = command->count("--example") > 0;
    chosen = [given, example] {
      if (!example) return make_store(given->file);
      return print_example(given->example.empty() ? "eu-1" : given->example);
    };
  });
}

} // namespace troupe::cli
