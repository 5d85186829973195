// SPDX-License-Identifier: Apache-2.0
#include "proc/users.h"

#include <gtest/gtest.h>

namespace tracer::proc {
namespace {

constexpr uid_t kNobodysNumber = 3'999'999'999;

TEST(UsersTest, KnowsRootByNameAndByNumber) {
  EXPECT_EQ(find_user("root"), 0U);
  UserNames names;
  EXPECT_EQ(names.name_of(0), "root");
}

TEST(UsersTest, NamesANumberWithoutAUserByItself) {
  UserNames names;
  const std::string& name = names.name_of(kNobodysNumber);
  EXPECT_EQ(name, "uid 3999999999");
  for (uid_t uid = 70'000; uid < 70'100; ++uid) names.name_of(uid);
  EXPECT_EQ(&names.name_of(kNobodysNumber), &name) << "asked once, kept where it is";
}

TEST(UsersTest, FindsNobodyUnderANameThatIsNotThere) {
  for (const std::string& name : {std::string("no such user"), std::string(), std::string(100'000, 'x')})
    EXPECT_FALSE(find_user(name).has_value());
}

}  // namespace
}  // namespace tracer::proc
