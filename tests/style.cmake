# SPDX-License-Identifier: GPL-2.0-only
# What a machine can check of the house's style: ctest -L style
find_package(Python3 COMPONENTS Interpreter)

function(mbfs_style_test name)
	add_test(NAME style/${name} COMMAND ${ARGN})
	set_tests_properties(style/${name} PROPERTIES LABELS style TIMEOUT 120 SKIP_RETURN_CODE 77)
endfunction()

set(STYLE ${CMAKE_SOURCE_DIR}/tools/style)
if(Python3_Interpreter_FOUND)
	foreach(check layers names sizes)
		mbfs_style_test(${check} ${Python3_EXECUTABLE} ${STYLE}/${check}.py)
	endforeach()
	mbfs_style_test(checks_can_fail bash ${CMAKE_CURRENT_SOURCE_DIR}/style/test_checks.sh)
else()
	message(STATUS "no python3: the style checks that need it are left out")
endif()
mbfs_style_test(globals bash ${STYLE}/globals.sh $<TARGET_FILE:mbfs> $<TARGET_FILE:mbfs_race>)
mbfs_style_test(exports bash ${STYLE}/exports.sh $<TARGET_FILE:mbfs>)
mbfs_style_test(shell bash ${STYLE}/shell.sh)
