package main

func hold() {}
