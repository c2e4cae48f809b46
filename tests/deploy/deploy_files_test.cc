// The files that operators start from are as good as the broker that they are for.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "broker/config.h"
#include "tests/support/command.h"
#include "tests/support/temp_dir.h"

namespace sluice {
namespace {

using ::testing::HasSubstr;
using testing::ReadFile;
using testing::RunCommand;

const std::string kDeploy = SLUICE_DEPLOY_DIR;

TEST(DeployFilesTest, TheConfigurationExampleIsWhatTheBrokerPrints) {
  EXPECT_EQ(ReadFile(kDeploy + "/sluiced.toml"), ConfigToToml(Config()))
      << "write it anew: sluiced --print-config > deploy/sluiced.toml";
}

TEST(DeployFilesTest, TheConfigurationExampleIsGood) {
  const std::string file = kDeploy + "/sluiced.toml";
  const char* const argv[] = {"sluiced", "--config", file.c_str(), "--check-config"};
  const CommandLine command = ParseCommandLine(4, argv);
  EXPECT_EQ(command.next, NextStep::kPrintAndExit) << command.text;
  EXPECT_THAT(command.text, HasSubstr("is good"));
}

TEST(DeployFilesTest, PromtoolTakesTheScrapeConfiguration) {
  const testing::CommandResult check =
      RunCommand({"promtool", "check", "config", kDeploy + "/prometheus/prometheus.yml"});
  EXPECT_EQ(check.exit_code, 0) << check.output;
}

TEST(DeployFilesTest, TheScrapeConfigurationAsksWhereTheBrokerServesByDefault) {
  EXPECT_THAT(ReadFile(kDeploy + "/prometheus/prometheus.yml"), HasSubstr("\"" + Config().http + "\""));
}

}  // namespace
}  // namespace sluice
