// SPDX-License-Identifier: Apache-2.0
#include "report/symbol_notes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "report_fixture.h"

namespace tracer::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// A module whose names are missing, and one that lacks files and lines only.
class SymbolNotesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    testing::fake_names().lacks = {{"/usr/bin/server", 12, "there is no debug file", "install server-dbgsym"},
                                   {"/usr/lib/libc.so.6", 0, "there is no debug file", "its debug information"}};
  }
  void TearDown() override { testing::fake_names().lacks.clear(); }

  testing::Scene scene_;  // makes all names anew
};

TEST_F(SymbolNotesTest, TellsInTheTableWhereNamesAreMissingWithTheReasonAndAHint) {
  testing::MemoryOutput output;
  ASSERT_TRUE(testing::Scene::play(*make_table_writer(output, scene_.context(), {})).ok());
  EXPECT_THAT(output.text(), HasSubstr("warning: /usr/bin/server: 12 addresses without a name: there is no debug file\n"
                                       "  hint: install server-dbgsym\n"));
  EXPECT_THAT(output.text(), Not(HasSubstr("no files and lines")));
}

TEST_F(SymbolNotesTest, WritesBothAsDiagnosticsThatFollowTheSchema) {
  testing::MemoryOutput output;
  ASSERT_TRUE(testing::Scene::play(*make_ndjson_writer(output, scene_.context())).ok());
  EXPECT_THAT(output.text(),
              HasSubstr("\"severity\":\"warning\",\"code\":\"names_missing\",\"message\":\"/usr/bin/server"));
  EXPECT_THAT(output.text(),
              HasSubstr("\"severity\":\"info\",\"code\":\"lines_missing\",\"message\":\"/usr/lib/libc.so.6"));
  EXPECT_EQ(testing::validate(output.text()), 0);
}

}  // namespace
}  // namespace tracer::report
