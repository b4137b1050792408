@echo off
rem Starts the Gradle that gradle\wrapper\gradle-wrapper.properties names.
rem "gradle wrapper" replaces this file with Gradle's own, and adds the jar that both need.
setlocal
set JAR=%~dp0gradle\wrapper\gradle-wrapper.jar
if not exist "%JAR%" (
    echo gradlew: gradle\wrapper\gradle-wrapper.jar is not here 1>&2
    echo   make it once with an installed Gradle: gradle wrapper --gradle-version 9.6.0 1>&2
    echo   or open this folder in Android Studio, which needs no wrapper jar 1>&2
    exit /b 1
)
if defined JAVA_HOME (set JAVA="%JAVA_HOME%\bin\java.exe") else (set JAVA=java.exe)
%JAVA% -Xmx64m -Dorg.gradle.appname=gradlew -classpath "%JAR%" org.gradle.wrapper.GradleWrapperMain %*
